import { type Finding, fine, problem, warning } from "./finding.ts";
import { askRedis, type RedisReply } from "./redis-probe.ts";

const CLOCK_TOLERANCE_MS = 2_000;
const SETTINGS = ["appendonly", "appendfsync", "maxmemory", "maxmemory-policy"] as const;

/** Version, durability, memory and clock of Redis. */
export async function checkRedis(url: string): Promise<Finding[]> {
  const askedAtMs = Date.now();
  let replies: RedisReply[];
  try {
    const settings = SETTINGS.map((name) => ["CONFIG", "GET", name]);
    replies = await askRedis(url, [["INFO"], ["TIME"], ...settings]);
  } catch (error) {
    const found = `cannot be reached: ${error instanceof Error ? error.message : String(error)}`;
    return [problem("redis", found, "start it, or correct REDIS_URL")];
  }
  const [info, time, ...settings] = replies;
  const facts = parseInfo(String(info));
  return [
    checkVersion(facts.redis_version ?? "?"),
    ...checkSettings(settings),
    ...checkState(facts),
    checkTime(time, askedAtMs),
  ];
}

function parseInfo(text: string): Record<string, string | undefined> {
  return Object.fromEntries(text.split("\r\n").map((line) => line.split(":", 2) as [string, string]));
}

function checkVersion(version: string): Finding {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major > 6 || (major === 6 && minor >= 2)) return fine("redis version", version);
  return problem("redis version", version, "install Redis 6.2 or newer");
}

function checkSettings(replies: readonly RedisReply[]): Finding[] {
  const [appendonly, appendfsync, maxmemory, policy] = replies.map((reply) =>
    Array.isArray(reply) ? String(reply[1] ?? "") : undefined,
  );
  if (appendfsync === undefined) {
    return [
      warning(
        "redis durability",
        "it does not let us read its settings",
        "allow CONFIG GET to this user, or see yourself that appendfsync is always",
      ),
    ];
  }
  const findings: Finding[] = [];
  if (appendonly !== "yes") {
    findings.push(
      problem(
        "redis appendonly",
        `${appendonly}: everything is lost when Redis ends`,
        "appendonly yes in redis.conf (now: CONFIG SET appendonly yes)",
      ),
    );
  }
  if (appendfsync !== "always") {
    findings.push(
      problem(
        "redis appendfsync",
        `${appendfsync}: a power cut loses acknowledged messages`,
        "appendfsync always in redis.conf (now: CONFIG SET appendfsync always)",
      ),
    );
  }
  if (policy !== "noeviction") {
    findings.push(
      problem(
        "redis maxmemory-policy",
        `${policy}: Redis may throw streams away`,
        "maxmemory-policy noeviction in redis.conf",
      ),
    );
  }
  if (maxmemory === "0") {
    findings.push(
      warning(
        "redis maxmemory",
        "no limit: a backlog may use up the memory of the machine",
        "set maxmemory in redis.conf, for example 1gb",
      ),
    );
  }
  return findings.length > 0
    ? findings
    : [fine("redis durability", "appendonly yes, appendfsync always, noeviction")];
}

function checkState(facts: Readonly<Record<string, string | undefined>>): Finding[] {
  const findings: Finding[] = [];
  if (facts.aof_last_write_status !== undefined && facts.aof_last_write_status !== "ok") {
    findings.push(
      problem("redis append-only file", "the last write failed", "look at the disk and at Redis's log"),
    );
  }
  const [used, most] = [Number(facts.used_memory), Number(facts.maxmemory)];
  if (most > 0 && used > most * 0.8) {
    const found = `${Math.round((used / most) * 100)} % of maxmemory is used`;
    findings.push(
      warning(
        "redis memory",
        found,
        "see ./sluice lag: which group is behind? Raise SLUICE_REDIS_MAXMEMORY if it must hold more",
      ),
    );
  }
  return findings;
}

function checkTime(reply: RedisReply | undefined, askedAtMs: number): Finding {
  const seconds = Array.isArray(reply) ? Number(reply[0]) : Number.NaN;
  return compareClocks("redis clock", seconds * 1000, askedAtMs, 1_000 + CLOCK_TOLERANCE_MS);
}

/** Judges another machine's clock by ours. */
export function compareClocks(
  check: string,
  theirsMs: number,
  oursMs: number,
  toleranceMs = CLOCK_TOLERANCE_MS,
): Finding {
  const apartMs = Math.abs(theirsMs - oursMs);
  if (apartMs <= toleranceMs) return fine(check, "agrees with ours");
  const found = Number.isNaN(apartMs) ? "unknown" : `${(apartMs / 1000).toFixed(1)} s apart from ours`;
  return warning(check, found, "synchronise both machines with NTP");
}
