import { execFile, execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { type Db, openDb } from "@sluice/db";
import { type Installation, startInstallation, waitFor } from "@sluice/testkit";
import mqtt from "mqtt";

const ROOT = resolve(import.meta.dirname, "../..");
const run = promisify(execFile);
const catalogue = JSON.parse(readFileSync(join(ROOT, "e2e/catalogues/security.json"), "utf8")) as {
  checks: { id: string; check: string; pass_if: string }[];
};

let sluice: Installation;
let db: Db;
let device: { username: string; password: string; apiKey: string };
let claimToken = "";
/** What each service was started with. */
const environments: Record<string, Record<string, string>> = {};

beforeAll(async () => {
  sluice = await startInstallation();
  const { services } = JSON.parse(readFileSync(join(sluice.dataDir, "state.json"), "utf8")) as {
    services: { name: string; pid: number }[];
  };
  for (const { name, pid } of services) {
    const pairs = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
    environments[name] = Object.fromEntries(pairs.map((pair) => pair.split(/=(.*)/s, 2) as [string, string]));
  }
  db = await openDb(sluice.urls().postgresUrl, { max: 2 });
  device = JSON.parse(await sluice.sluice("devices", "add", "canary_1", "--json"));
  claimToken = JSON.parse(await sluice.sluice("devices", "claim-token", "--json")).token;
});

afterAll(async () => {
  await db?.close();
  await sluice?.stop();
});

const envOf = (service: string, name: string): string => environments[service]?.[name] ?? "";

/** A command of Redis as a service's user; what Redis answers, errors too. */
async function redisAs(url: string, ...command: string[]): Promise<string> {
  const { hostname, port, username, password } = new URL(url);
  const user = username === "" ? [] : ["--user", username];
  const env = { ...process.env, REDISCLI_AUTH: password };
  const args = [
    "-h",
    hostname,
    "-p",
    port,
    ...(password === "" ? [] : user),
    "--no-auth-warning",
    ...command,
  ];
  const { stdout, stderr } = await run("redis-cli", args, { env }).catch(
    (error: { stdout?: string; stderr?: string }) => ({
      stdout: error.stdout ?? "",
      stderr: error.stderr ?? "",
    }),
  );
  return stdout + stderr;
}

async function sqlAs(url: string, sql: string): Promise<unknown[]> {
  const as = await openDb(url, { max: 1 });
  try {
    return await as.query(sql);
  } finally {
    await as.close();
  }
}

async function influxAs(username: string, password: string, what: "write" | "query"): Promise<number> {
  const { influx } = sluice.urls();
  const target = new URL(`/${what}`, influx?.url);
  target.searchParams.set("db", influx?.bucket ?? "");
  if (what === "query") target.searchParams.set("q", "SELECT * FROM /.*/ LIMIT 1");
  const answer = await fetch(target, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`${username}:${password}`)}` },
    ...(what === "write" ? { body: "probe value=1" } : {}),
  });
  const text = await answer.text();
  return answer.ok && /not authorized|authorization failed/i.test(text) ? 403 : answer.status;
}

const connect = (username: string | undefined, password: string | undefined) => {
  const { mqttUrl } = JSON.parse(readFileSync(join(sluice.dataDir, "state.json"), "utf8"));
  const login = username === undefined ? {} : { username, password: password ?? "" };
  return mqtt.connectAsync(mqttUrl, { ...login, reconnectPeriod: 0, connectTimeout: 5000 }, false);
};

/** Every secret of the run: of the installation, its services, and the devices made here. */
function secretsOfRun(): string[] {
  const kept = JSON.parse(readFileSync(join(sluice.dataDir, "secrets.json"), "utf8")) as Record<
    string,
    string
  >;
  const installation = Object.entries(kept).filter(([name]) => /password|pepper|secret|key/i.test(name));
  const told = Object.values(environments).flatMap((env) => [
    ...["REDIS_URL", "DATABASE_URL"].map((name) => (env[name] ? new URL(env[name]).password : "")),
    env.INFLUXDB_PASSWORD ?? "",
    env.SLUICE_PEPPER ?? "",
  ]);
  const all = [
    ...installation.map(([, secret]) => secret),
    ...told,
    device.password,
    device.apiKey,
    claimToken,
  ];
  return [...new Set(all)].filter((secret) => secret.length >= 16);
}

function filesUnder(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** The check is a test elsewhere: it must be there under that name. */
const inTest = (file: string, words: string) => async () => {
  expect(readFileSync(join(ROOT, file), "utf8")).toContain(words);
};
const gateway = (id: string) => inTest("services/ingest-gateway/test/security.test.ts", `${id}: async () =>`);
const trust = (words: string) => inTest("services/ingest-gateway/test/trust.test.ts", words);
const badMqtt = (id: string) => inTest("services/ingest-gateway/test/bad-mqtt.test.ts", id);
const badHttp = (id: string) => inTest("services/ingest-gateway/test/bad-http.test.ts", id);
const access = (words: string) => inTest("services/api/test/access.test.ts", words);
const badApi = (words: string) => inTest("services/api/test/bad-input.test.ts", words);

const CHECKS: Record<string, (() => Promise<void>) | string> = {
  S01: async () => {
    await expect(connect(undefined, undefined)).rejects.toThrow(/Not authorized/);
    await gateway("S01")();
  },
  S02: gateway("S02"),
  S03: gateway("S03"),
  S05: gateway("S05"),
  S07: trust("a disabled device is cut within a second"),
  S09: inTest("services/ingest-gateway/test/faults.test.ts", "wrong passwords are answered later and later"),
  S10: async () => {
    const rows = await db.query<{ hash: string }>(
      "SELECT unnest(ARRAY[password_hash, api_key_hash]) AS hash FROM iot.credentials",
    );
    expect(rows.length).toBeGreaterThan(1);
    for (const { hash } of rows) expect(hash).toMatch(/^[0-9a-f]{64}$/);
  },
  S11: async () => {
    const users = new Set(
      Object.values(environments).flatMap((env) => (env.REDIS_URL ? [new URL(env.REDIS_URL).username] : [])),
    );
    expect(users).toEqual(new Set(["stream-worker", "influx-writer", "ingest-gateway", ...users]));
    expect(users.has("default") || users.has("")).toBe(false);
    const outside = await redisAs(envOf("stream-worker", "REDIS_URL"), "GET", "sluice:credentials:{0}");
    expect(outside).toMatch(/NOPERM/);
  },
  S12: badMqtt("B007"),
  S13: badMqtt("B017"),
  S14: trust("a device that floods is refused and slowed; others are not held up"),
  S15: gateway("S15"),
  S16: "asks a registry: run `pnpm audit --prod --audit-level high`; servers are the distribution's, patched by it",
  S17: gateway("S17"),
  S18: trust("a client certificate stands for the device it names, and for no other"),
  S19: async () => {
    const { servers } = JSON.parse(readFileSync(join(sluice.dataDir, "state.json"), "utf8")) as {
      servers: { name: string; port: number }[];
    };
    const listening = ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((file) =>
      readFileSync(file, "utf8")
        .split("\n")
        .map((line) => line.trim().split(/\s+/))
        .filter((columns) => columns[3] === "0A")
        .map((columns) => (columns[1] ?? "").split(":") as [string, string]),
    );
    for (const { port } of servers) {
      const addresses = listening
        .filter(([, hex]) => Number.parseInt(hex, 16) === port)
        .map(([address]) => address);
      expect(addresses).toEqual(["0100007F"]);
    }
  },
  S20: async () => {
    const pattern = `rejectUnauthorized["']?\\s*[:=]\\s*false|NODE_TLS_REJECT_UNAUTHORIZED`;
    const found = await run(
      "git",
      ["grep", "-nIE", pattern, "--", ".", ":!*.json", ":!*security.test.ts", ":!SECURITY.md"],
      {
        cwd: ROOT,
      },
    ).catch((error: { code: number; stdout: string }) => {
      expect(error.code).toBe(1);
      return { stdout: "" };
    });
    expect(found.stdout).toBe("");
  },
  S22: async () => {
    await gateway("S22")();
    await access("every route is refused without a key, but for the public ones")();
  },
  S23: async () => {
    expect(device.apiKey).toMatch(/^slk_[A-Za-z0-9]{32,}$/);
    await inTest("services/ingest-gateway/src/credential-book.ts", "timingSafeEqual")();
  },
  S24: async () => {
    await badHttp("B071")();
    await access("a revoked, an expired and a disabled key stop working")();
  },
  S25: access("forged, foreign and unsigned tokens are refused"),
  S26: access("a device sees itself and no other, in lists as well"),
  S28: badApi("are answered 429 in document B's shape, for this key alone"),
  S29: inTest("services/ingest-gateway/test/faults.test.ts", "HTTP says 503 with Retry-After"),
  S30: async () => {
    await gateway("S30")();
    await inTest("e2e/test/fuzz.test.ts", "HTTP")();
  },
  S31: async () => {
    const sources = execFileSync("git", ["ls-files", "packages/*/src", "services/*/src"], { cwd: ROOT })
      .toString()
      .split("\n")
      .filter((file) => file.endsWith(".ts") && existsSync(join(ROOT, file)));
    for (const file of sources.filter((name) => !name.startsWith("packages/db/"))) {
      const text = readFileSync(join(ROOT, file), "utf8");
      expect([file, /from "pg"/.test(text) && !file.startsWith("packages/db/")]).toEqual([file, false]);
    }
    const id = "x'; DROP TABLE iot.devices; --";
    await expect(sluice.sluice("devices", "add", id)).rejects.toThrow(/no device id/);
    await expect(db.query("SELECT count(*) FROM iot.devices")).resolves.toHaveLength(1);
  },
  S33: gateway("S33"),
  S36: badHttp("B081"),
  S37: badApi("every answer forbids scripts, frames and guessing"),
  S38: access("a person logs in, and changes need the token that the login gave"),
  S39: badHttp("B082"),
  S40: access("a key may do what its scope says and no more"),
  S41: badApi("live readings come as events, to whoever may see them"),
  S42: async () => {
    const client = await connect(device.username, device.password);
    const own = "iotflow/devices/canary_1/telemetry";
    for (const payload of [
      `{"api_key":"${device.apiKey}","x":1}`,
      `{"api_key":"${device.apiKey}x","x":1}`,
      `{"api_key":"${device.apiKey}","password":"${device.password}"`,
    ]) {
      await client.publishAsync(own, payload, { qos: 1 });
    }
    await client.endAsync();
    await expect(connect(device.username, `${device.password}x`)).rejects.toThrow();
    const { httpUrl } = JSON.parse(readFileSync(join(sluice.dataDir, "state.json"), "utf8"));
    await fetch(`${httpUrl}/api/v1/ingest?api_key=${device.apiKey}`, { method: "POST" });
    await waitFor(
      async () => (await db.query("SELECT FROM quarantine WHERE device = 'canary_1'")).length >= 2,
    );
    const logs = filesUnder(join(sluice.dataDir, "logs")).map((file) => readFileSync(file, "utf8"));
    expect(logs.join("").length).toBeGreaterThan(1000);
    const kept = await db.query("SELECT detail, encode(payload, 'escape') AS payload FROM quarantine");
    // The mosquitto_pub line of the first start is meant to be pasted: its device is none of these.
    const written = [...logs, sluice.output(), JSON.stringify(kept)].join("\n");
    const leaked = secretsOfRun().filter((secret) => written.includes(secret));
    expect(leaked.map((secret) => `${secret.slice(0, 4)}…`)).toEqual([]);
  },
  S44: async () => {
    const services = Object.keys(environments).filter((service) => envOf(service, "REDIS_URL") !== "");
    expect(services).toEqual(expect.arrayContaining(["ingest-gateway", "stream-worker", "influx-writer"]));
    for (const service of services) {
      const url = envOf(service, "REDIS_URL");
      expect(await redisAs(url, "PING")).toMatch(/PONG/);
      for (const command of [
        ["FLUSHALL"],
        ["FLUSHDB"],
        ["KEYS", "*"],
        ["DEBUG", "SLEEP", "0"],
        ["CONFIG", "SET", "appendfsync", "no"],
        ["ACL", "LIST"],
        ["SHUTDOWN", "NOSAVE"],
        ["MONITOR"],
        ["SCRIPT", "FLUSH"],
        ["EVAL", "return redis.call('FLUSHALL')", "0"],
        ["GET", "other"],
        ["XGROUP", "DESTROY", "sluice:telemetry:{0}", "postgres"],
      ]) {
        expect([command.join(" "), await redisAs(url, ...command)]).toEqual([
          command.join(" "),
          expect.stringMatching(/NOPERM|No permissions|can't run this command|not allowed/i),
        ]);
      }
      const secret = JSON.parse(readFileSync(join(sluice.dataDir, "secrets.json"), "utf8")).redisPassword;
      expect(await redisAs(url, "CONFIG", "GET", "*")).not.toContain(secret);
    }
  },
  S45: async () => {
    for (const service of Object.keys(environments)) {
      const url = envOf(service, "DATABASE_URL");
      for (const sql of [
        "DROP TABLE public.measurement",
        "CREATE TABLE public.mine (id INTEGER)",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "ALTER ROLE sluice_owner PASSWORD 'x'",
      ]) {
        await expect(sqlAs(url, sql)).rejects.toThrow(/denied|must be/);
      }
      expect(await sqlAs(url, "SHOW statement_timeout")).not.toEqual([{ statement_timeout: "0" }]);
    }
    const [owner] = await db.query<{ super: boolean }>(
      "SELECT rolsuper AS super FROM pg_roles WHERE rolname = current_user",
    );
    expect(owner).toEqual({ super: false });
    await inTest("packages/db/test/roles.test.ts", "services may do their work and nothing else")();
  },
  S46: async () => {
    const as = (service: string) =>
      [envOf(service, "INFLUXDB_USERNAME"), envOf(service, "INFLUXDB_PASSWORD")] as const;
    expect(await influxAs(...as("influx-writer"), "write")).toBe(204);
    expect(await influxAs(...as("influx-writer"), "query")).toBe(403);
    expect(await influxAs(...as("etl-scheduler"), "query")).toBe(200);
    expect(await influxAs(...as("etl-scheduler"), "write")).toBe(403);
  },
  S47: async () => {
    const lock = readFileSync(join(ROOT, "pnpm-lock.yaml"), "utf8");
    const resolutions = lock.match(/^ {4}resolution: .*/gm) ?? [];
    expect(resolutions.length).toBeGreaterThan(100);
    expect(resolutions.filter((line) => !line.includes("integrity: sha512-"))).toEqual([]);
  },
  S49: async () => {
    expect((statSync(sluice.dataDir).mode & 0o777).toString(8)).toBe("700");
    for (const name of ["secrets.json", "state.json", "redis/redis.conf"]) {
      expect([name, (statSync(join(sluice.dataDir, name)).mode & 0o077).toString(8)]).toEqual([name, "0"]);
    }
  },
  S50: "backups are the operator's: SECURITY.md says what to keep and how to restore it",
  S51: async () => {
    const { postgresUrl, redisUrl, influx } = sluice.urls();
    for (const [user, password] of [
      ["postgres", "postgres"],
      ["postgres", ""],
      ["sluice", "sluice"],
      ["sluice_owner", "sluice_owner"],
    ]) {
      const url = new URL(postgresUrl);
      url.username = user ?? "";
      url.password = password ?? "";
      await expect(openDb(url.href, { max: 1 })).rejects.toThrow();
    }
    const bare = new URL(redisUrl);
    bare.username = "";
    bare.password = "";
    expect(await redisAs(bare.href, "PING")).toMatch(/NOAUTH/);
    for (const [user, password] of [
      ["admin", "admin"],
      ["", ""],
      ["root", "root"],
    ] as const) {
      expect(await influxAs(user, password, "query")).toBe(401);
    }
    expect(influx?.password?.length).toBeGreaterThan(32);
    for (const [user, password] of [
      ["esp32", "esp32"],
      ["admin", "admin"],
      ["dev_esp32_001", "password"],
      ["claim", ""],
    ] as const) {
      await expect(connect(user, password)).rejects.toThrow(/Not authorized/);
    }
  },
  S52: async () => {
    for (const file of [
      "SECURITY.md",
      "e2e/corpus",
      "e2e/test/fuzz.test.ts",
      "e2e/catalogues/security.json",
    ]) {
      expect([file, existsSync(join(ROOT, file))]).toEqual([file, true]);
    }
    expect(readFileSync(join(ROOT, "SECURITY.md"), "utf8")).toMatch(/threat model/i);
    expect(readdirSync(join(ROOT, "e2e/corpus")).length).toBeGreaterThan(20);
  },
};

describe("the catalogue of security checks", () => {
  for (const { id, check, pass_if } of catalogue.checks) {
    const how = CHECKS[id];
    const name = `${id} ${check}: ${pass_if}`;
    if (typeof how === "string") test(`${name} — not here: ${how}`, () => expect(how).not.toBe(""));
    else
      test(name, async () => {
        if (!how) throw new Error(`${id} is neither executed nor excused`);
        await how();
      });
  }
});

describe("what a service is told", () => {
  test("is its own secrets and nobody else's", () => {
    expect(envOf("ingest-gateway", "SLUICE_PEPPER")).not.toBe("");
    for (const service of ["stream-worker", "influx-writer", "etl-scheduler"]) {
      expect([service, envOf(service, "SLUICE_PEPPER")]).toEqual([service, ""]);
    }
    for (const service of ["stream-worker", "ingest-gateway"]) {
      expect([service, envOf(service, "INFLUXDB_PASSWORD")]).toEqual([service, ""]);
    }
    const secrets = JSON.parse(readFileSync(join(sluice.dataDir, "secrets.json"), "utf8"));
    for (const env of Object.values(environments)) {
      for (const name of ["postgresPassword", "redisPassword", "influxPassword"]) {
        expect(Object.values(env).some((value) => value?.includes(secrets[name]))).toBe(false);
      }
    }
  });
});
