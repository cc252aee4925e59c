import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { askPort } from "./ask-port.ts";
import { getBinary } from "./find-binary.ts";
import { launch } from "./launch.ts";
import type { Server, ServerOptions } from "./server.ts";

/** How a private Redis keeps its data. */
export interface RedisOptions extends ServerOptions {
  /** Of the user `default`, who may do everything. */
  password?: string | undefined;
  /** Further users, as `user` lines of redis.conf. */
  users?: readonly string[] | undefined;
  /** `always` (default) survives a power cut; `no` is for tests that need only speed. */
  appendfsync?: "always" | "everysec" | "no" | undefined;
  /** As Redis writes it, for example `1gb`. Default `1gb`; at the limit writes fail, nothing is evicted. */
  maxmemory?: string | undefined;
  /** Further configuration lines, for example `cluster-enabled yes`. */
  config?: string | undefined;
}

/** Starts a private Redis with an append-only file and no eviction. */
export function startRedis(options: RedisOptions = {}): Promise<Server> {
  const file = getBinary("redis-server", "redis-server");
  const { password } = options;
  const login = password === undefined ? "" : `:${encodeURIComponent(password)}@`;
  return launch(
    {
      name: "redis",
      url: (port) => `redis://${login}127.0.0.1:${port}`,
      prepare({ dir, port }) {
        writeFileSync(join(dir, "redis.conf"), redisConfig(options, dir, port), { mode: 0o600 });
      },
      command: ({ dir }) => ({ file, args: [join(dir, "redis.conf")] }),
      async ready({ port }) {
        const auth = password === undefined ? "" : command("AUTH", password);
        const reply = await askPort(port, `${auth}${command("PING")}`);
        if (!/\+(OK|PONG)\r\n/.test(reply) || /-(LOADING|ERR|WRONGPASS|NOAUTH)/.test(reply)) {
          throw new Error(reply.trim());
        }
      },
      stopTimeoutMs: 20_000,
      // A large append-only file is read back before it serves.
      readyTimeoutMs: 120_000,
    },
    options,
  );
}

function redisConfig(options: RedisOptions, dir: string, port: number): string {
  return [
    "bind 127.0.0.1",
    `port ${port}`,
    `dir ${JSON.stringify(dir)}`,
    "daemonize no",
    'logfile ""',
    'save ""',
    "appendonly yes",
    `appendfsync ${options.appendfsync ?? "always"}`,
    "aof-load-truncated yes",
    // A stream that is trimmed leaves a small base: with the default 64mb Redis would fork for a rewrite every few
    // seconds under load, and every fork is felt as latency.
    "auto-aof-rewrite-min-size 512mb",
    `maxmemory ${options.maxmemory ?? "1gb"}`,
    "maxmemory-policy noeviction",
    // As an ACL rule by its hash: `requirepass` could be read by everybody who may CONFIG GET.
    ...(options.password === undefined ? [] : [`user default on #${sha256(options.password)} ~* &* +@all`]),
    ...(options.users ?? []),
    ...(options.config === undefined ? [] : [options.config]),
    "",
  ].join("\n");
}

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

function command(...words: string[]): string {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return `*${words.length}\r\n${parts.join("")}`;
}
