import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type Fault, type Injection, repeatFor } from "./fault.ts";
import { pidsOf, type Rig } from "./rig.ts";

type Name = "redis" | "postgres" | "influx";
const run = promisify(execFile);

const crash = (name: Name, downMs: number) => async (injection: Injection) => {
  const { rig, sleep, random, undo } = injection;
  await sleep(random(500, 2000));
  undo(() => (rig[name].pid === undefined ? rig[name].restart() : undefined));
  await rig[name].kill("SIGKILL");
  await sleep(downMs);
};

const freeze =
  (name: Name, ms: number) =>
  async ({ rig, sleep, random, undo }: Injection) => {
    await sleep(random(500, 1500));
    undo(() => rig[name].kill("SIGCONT"));
    await rig[name].kill("SIGSTOP");
    await sleep(ms);
    await rig[name].kill("SIGCONT");
  };

/** Runs `redis-cli` on the rig's server, past the proxy. */
export async function redisCli({ redis }: Rig, ...words: string[]): Promise<string> {
  const env = { ...process.env, REDISCLI_AUTH: decodeURIComponent(new URL(redis.url).password) };
  return (await run("redis-cli", ["-p", String(redis.port), ...words], { env })).stdout.trim();
}

/** Servers killed, frozen, full and blocked. */
export const servers: readonly Fault[] = [
  {
    id: "F17",
    title: "redis: kill -9 during appends",
    quick: true,
    names: "redis",
    inject: crash("redis", 2500),
  },
  {
    id: "F20",
    title: "redis: frozen for 6 s, then slow (200-800 ms)",
    names: "redis",
    async inject(injection) {
      const { proxies } = injection.rig;
      injection.undo(() => proxies.redis.delay(0));
      await freeze("redis", 6000)(injection);
      await repeatFor(injection, 4000, [200, 400], () => proxies.redis.delay(injection.random(200, 800)));
    },
  },
  {
    id: "F21",
    title: "redis: memory limit reached, noeviction",
    says: /OOM|memory|filling up/i,
    async inject({ rig, sleep, undo, random }) {
      const used = /used_memory:(\d+)/.exec(await redisCli(rig, "INFO", "memory"))?.[1] ?? "0";
      undo(() => redisCli(rig, "CONFIG", "SET", "maxmemory", "1gb"));
      await redisCli(rig, "CONFIG", "SET", "maxmemory", String(Number(used) + Math.round(random(0, 10_000))));
      await sleep(5000);
    },
  },
  {
    id: "F34",
    title: "postgres: sessions terminated, active and idle",
    quick: true,
    async inject(injection) {
      const { rig } = injection;
      const before = pidsOf(rig);
      await repeatFor(injection, injection.loadSeconds * 600, [300, 900], () =>
        rig.db.query(
          "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'",
        ),
      );
      injection.expect("O4", before === pidsOf(rig), "a process has ended");
    },
  },
  {
    id: "F35",
    title: "postgres: crash and recovery",
    quick: true,
    names: "postgres",
    inject: crash("postgres", 2500),
  },
  {
    id: "F38",
    title: "postgres: measurement locked by another session for longer than lock_timeout",
    says: /lock timeout|55P03/i,
    load: { seconds: 24, rate: 200 },
    async inject({ rig, sleep, afterwards, expect }) {
      let unread = 0;
      await rig.db.transaction(
        async (tx) => {
          await tx.query("lock table measurement in access exclusive mode");
          await sleep(18_000);
          const { groups } = await rig.bus.lag("sluice:telemetry:{0}");
          for (const group of groups) if (group.group === "postgres") unread = group.unread + group.pending;
        },
        { statementTimeoutMs: 60_000 },
      );
      afterwards(async () => expect("O3", unread > 500, `the backlog shows only ${unread} messages`));
    },
  },
  {
    id: "F42",
    title: "influx: down while the other sink goes on",
    names: "influx",
    async inject(injection) {
      await crash("influx", 4000)(injection);
      expectOtherSink(injection, await injection.rig.bus.lag("sluice:telemetry:{0}"));
    },
  },
];

/** The group `postgres` has no backlog to speak of while InfluxDB is away. */
export function expectOtherSink(
  { expect }: Injection,
  { groups }: Awaited<ReturnType<Rig["bus"]["lag"]>>,
): void {
  const postgres = groups.find(({ group }) => group === "postgres");
  const waiting = (postgres?.unread ?? 0) + (postgres?.pending ?? 0);
  expect("O1", waiting < 1000, `postgres has ${waiting} messages waiting`);
}
