import { describe, expect, it } from "@jest/globals";
import { usePrivatePostgres, useRedis } from "@sluice/testkit";
import { judgeMosquitto } from "../src/doctor/check-mosquitto.ts";
import { checkPostgres } from "../src/doctor/check-postgres.ts";
import { checkRedis } from "../src/doctor/check-redis.ts";
import type { Finding } from "../src/doctor/finding.ts";

const problems = (findings: Finding[]) =>
  findings.filter(({ level }) => level === "problem").map(({ check }) => check);

describe("redis", () => {
  const durable = useRedis({ appendfsync: "always", password: "p@ss word" });
  const careless = useRedis({
    appendfsync: "everysec",
    config: "appendonly no\nmaxmemory-policy allkeys-lru",
  });

  it("passes one that keeps what it acknowledges", async () => {
    const findings = await checkRedis(durable.url);
    expect(findings.filter(({ level }) => level !== "ok")).toEqual([]);
  });

  it("names every setting that loses acknowledged messages and how to mend it", async () => {
    const findings = await checkRedis(careless.url);
    expect(problems(findings)).toEqual(["redis appendonly", "redis appendfsync", "redis maxmemory-policy"]);
    expect(findings.every(({ level, mend }) => level === "ok" || mend !== "")).toBe(true);
  });

  it("names a wrong password and a server that is not there", async () => {
    const wrong = await checkRedis(durable.url.replace("p%40ss", "q"));
    expect(wrong).toEqual([
      expect.objectContaining({ level: "problem", found: expect.stringContaining("login refused") }),
    ]);
    const absent = await checkRedis("redis://127.0.0.1:1");
    expect(absent).toEqual([expect.objectContaining({ found: expect.stringContaining("ECONNREFUSED") })]);
  });
});

describe("postgres", () => {
  const careless = usePrivatePostgres({ settings: { fsync: "off", synchronous_commit: "off" }, empty: true });

  it("names settings that lose rows, and migrations that are missing", async () => {
    const findings = await checkPostgres(careless.url);
    expect(problems(findings)).toEqual(["postgres durability", "postgres schema"]);
    expect(findings.find(({ check }) => check === "postgres durability")?.found).toContain(
      "fsync, synchronous_commit off",
    );
  });
});

describe("mosquitto.conf", () => {
  const safe = "persistence true\nautosave_on_changes true\nmax_queued_messages 0\n";

  it.each([
    ["listener 1883\nallow_anonymous true\n", ["mosquitto access"]],
    ["listener 1883 0.0.0.0\nallow_anonymous true\n", ["mosquitto access"]],
    ["listener 1883 127.0.0.1\nallow_anonymous true\n", []],
    ["listener 1883\nallow_anonymous false\npassword_file /x\n", []],
    ["#allow_anonymous true\nlistener 1883\n", []],
  ])("%j", (text, expected) => {
    expect(problems(judgeMosquitto(safe + text))).toEqual(expected);
  });

  it("names the default queue and missing persistence", () => {
    expect(problems(judgeMosquitto("listener 1883 127.0.0.1\n"))).toEqual([
      "mosquitto queue",
      "mosquitto persistence",
    ]);
  });
});
