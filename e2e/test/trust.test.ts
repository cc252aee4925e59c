import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { createDevice, type Db, openDb } from "@sluice/db";
import { type Installation, startInstallation, waitFor } from "@sluice/testkit";
import mqtt from "mqtt";

let sluice: Installation;
let db: Db;
let apiKey = "";
let httpUrl = "";
let mqttUrl = "";

beforeAll(async () => {
  sluice = await startInstallation({ services: ["ingest-gateway", "stream-worker", "influx-writer"] });
  db = await openDb(sluice.urls().postgresUrl, { max: 2 });
  ({ apiKey } = await createDevice(db, sluice.pepper(), { id: "clocked", timeZone: "Europe/Lisbon" }));
  ({ httpUrl, mqttUrl } = (await sluice.status()) ?? { httpUrl: "", mqttUrl: "" });
});
afterAll(async () => {
  await db?.close();
  await sluice?.stop();
});

/** Sends one message and waits until the database has it. */
async function send(
  message: object,
  path = "/api/v1/ingest?ack=stored",
): Promise<{ ids: string[]; status: number }> {
  const response = await fetch(`${httpUrl}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-api-key": apiKey },
    body: JSON.stringify(message),
  });
  return { status: response.status, ...((await response.json()) as { ids: string[] }) };
}

interface Row {
  ms: number;
  clock: number;
  flags: string[] | null;
}

/** The one reading with this value. */
async function storedAs(value: number): Promise<Row> {
  const [row] = await db.query<Row>(
    `SELECT (extract(epoch FROM m.time) * 1000)::int8 AS ms, m.clock, f.flags FROM measurement m
       LEFT JOIN quality_flag f USING (sensor_id, time) WHERE value = $1`,
    [value],
  );
  if (!row) throw new Error(`nothing is stored with value ${value}`);
  return row;
}

/** Whether a command that looks says so with exit code 1, too. */
const look = async (...args: string[]) => {
  const text = await sluice
    .sluice(...args, "--json")
    .catch((error: { stdout?: string }) => error.stdout ?? "");
  return JSON.parse(text) as Record<string, unknown> & { state: string; verdict: string };
};

const SECOND = 1000;
const near = (ms: number, expected: number) => Math.abs(ms - expected) < 60 * SECOND;

test("every kind of clock gives the time that the policy says", async () => {
  const nowMs = Date.now();
  const nowS = Math.floor(nowMs / 1000);
  const cases: [name: string, message: object, expectedMs: number, clock: number, flag: string | null][] = [
    ["no clock", {}, nowMs, 2, null],
    ["1970", { ts: 12 }, nowMs, 3, "clock_past"],
    ["seconds", { ts: nowS - 60 }, (nowS - 60) * 1000, 0, null],
    ["milliseconds", { ts: nowMs - 120_000 }, nowMs - 120_000, 0, null],
    ["microseconds", { ts: (nowMs - 180_000) * 1000 }, nowMs - 180_000, 0, null],
    ["years ahead", { ts: nowMs + 3 * 365 * 86_400_000 }, nowMs, 4, "clock_future"],
    ["not a time", { ts: "yesterday" }, nowMs, 5, "clock_unparsable"],
    ["age", { age_ms: 3_600_000 }, nowMs - 3_600_000, 1, null],
    ["an hour off by zone", { ts: "2026-07-01T12:00:00" }, Date.UTC(2026, 6, 1, 11), 0, null],
    ["winter time", { ts: "2026-01-15 12:00:00" }, Date.UTC(2026, 0, 15, 12), 0, null],
    ["with an offset", { ts: "2026-07-01T12:00:00+05:30" }, Date.UTC(2026, 6, 1, 6, 30), 0, null],
  ];
  for (const [i, [name, message, expectedMs, clock, flag]] of cases.entries()) {
    expect({ name, ...(await send({ ...message, level: 1000 + i })) }).toMatchObject({ name, status: 201 });
    const row = await storedAs(1000 + i);
    const exact = clock === 0;
    expect({ name, clock: row.clock, flags: row.flags }).toEqual({
      name,
      clock,
      flags: flag ? [flag] : null,
    });
    expect({ name, near: exact ? row.ms === expectedMs : near(row.ms, expectedMs) }).toEqual({
      name,
      near: true,
    });
  }
});

test("a clock minutes behind is learned and shown; set back at a reboot it loses nothing silently", async () => {
  const { apiKey: own } = await createDevice(db, sluice.pepper(), { id: "slow" });
  apiKey = own;
  const ts = () => Date.now() - 300_000;
  await waitFor(async () => (await send({ boot: "a", seq: 1, ts: ts(), v: 1 })).status === 201);
  const before = (await send({ boot: "a", seq: 2, ts: ts(), v: 2 })).status;
  expect(before).toBe(201);
  const shown = (await look("devices", "show", "slow")) as unknown as { clock: string; clockSkewMs: number };
  expect(shown.clock).toBe("device");
  expect(near(shown.clockSkewMs, 300_000)).toBe(true);
  expect(await sluice.sluice("devices", "show", "slow")).toMatch(/clock 5m.* behind the server's/);
  // The same instant again in the next life, with another value: the first stays, the second is kept by name.
  const twice = Date.now() - 600_000;
  await send({ boot: "a", seq: 3, ts: twice, v: 3 });
  await send({ boot: "b", seq: 0, ts: twice, v: 4 });
  const list = (await sluice.sluice("quarantine", "list", "--device", "slow", "--json")) as string;
  expect(JSON.parse(list)).toContainEqual(
    expect.objectContaining({ reason: "conflicting_duplicate", source: "postgres", boot: "b", seq: 0 }),
  );
});

test("a gap is named; trace says received, stored, missing, refused and never seen", async () => {
  const { apiKey: own } = await createDevice(db, sluice.pepper(), { id: "gappy" });
  apiKey = own;
  const ts = Date.now() - 60_000;
  await waitFor(async () => (await send({ boot: "x", seq: 1, ts, v: 1 })).status === 201);
  const { ids } = await send({ boot: "x", seq: 4, ts: ts + 1, v: 2 });
  const shown = (await look("devices", "show", "gappy")) as unknown as { gaps: unknown[] };
  expect(shown.gaps).toEqual([{ boot: "x", from: 2, to: 3, missing: 2 }]);
  const stored = await waitFor(async () => {
    const report = await look("trace", "--device", "gappy", "--seq", "4");
    return (report.influx as unknown[])?.length > 0 ? report : undefined;
  });
  expect(stored).toMatchObject({
    state: "stored",
    messages: [{ id: ids[0], boot: "x", seq: 4, groups: { postgres: "settled", influx: "settled" } }],
    readings: [{ field: "v", value: 2, rollup: "open" }],
    influx: [{ measurement: "telemetry" }],
  });
  expect(await look("trace", "--message", ids[0] ?? "")).toMatchObject({ state: "stored", device: "gappy" });
  expect(
    await look("trace", "--device", "gappy", "--at", String((ts + 1) / 1000), "--within", "1s"),
  ).toMatchObject({
    state: "stored",
  });
  expect(await look("trace", "--device", "gappy", "--seq", "3")).toMatchObject({ state: "missing" });
  expect(await look("trace", "--device", "gappy", "--seq", "99")).toMatchObject({ state: "unknown" });
  await send({ boot: "x", seq: 5, ts: ts + 1, v: 7 });
  expect(await look("trace", "--device", "gappy", "--seq", "5")).toMatchObject({
    state: "refused",
    verdict: expect.stringContaining("conflicting_duplicate"),
  });
  expect(await look("trace", "--device", "nobody", "--seq", "1")).toMatchObject({
    state: "unknown",
    verdict: expect.stringContaining("nobody has registered"),
  });
});

test("trace knows the connection that was refused", async () => {
  const client = mqtt.connect(mqttUrl, {
    clientId: "gappy",
    username: "dev_gappy",
    password: "wrong",
    reconnectPeriod: 0,
  });
  await new Promise((resolve) => client.once("error", resolve));
  await client.endAsync(true);
  const report = await waitFor(async () => {
    const now = await look("trace", "--device", "gappy", "--seq", "100");
    return (now.turnedAway as unknown[]).length > 0 ? now : undefined;
  });
  expect((report.turnedAway as unknown[])[0]).toMatchObject({ reason: "bad_credentials", certain: true });
  expect(report.verdict).toContain("bad_credentials");
  expect(await look("devices", "refusals", "gappy")).toMatchObject([
    { reason: "bad_credentials", username: "dev_gappy", clientId: "gappy", address: "127.0.0.1", times: 1 },
  ]);
  expect(await look("quarantine", "list", "--reason", "bad_credentials")).toEqual([]);
});

test("a device can set its clock by HTTP", async () => {
  const now = (await (await fetch(`${httpUrl}/api/v1/now`)).json()) as { epochMs: number };
  expect(near(now.epochMs, Date.now())).toBe(true);
});

test("a purge deletes a range in both databases, and the ledger balances", async () => {
  ({ apiKey } = await createDevice(db, sluice.pepper(), { id: "purged" }));
  const from = Date.UTC(2025, 5, 1);
  for (const ts of [from, from + SECOND, from + 10 * SECOND])
    await waitFor(async () => (await send({ ts, boot: "purged", seq: ts, gone: 7777 })).status === 201, {
      timeoutMs: 20_000,
    });
  const count = async () =>
    (await db.query<{ n: number }>("SELECT count(*) AS n FROM measurement WHERE value = 7777"))[0]?.n;
  expect(await count()).toBe(3);
  const { influx } = sluice.urls();
  const inInflux = async () => {
    const query = new URLSearchParams({ db: influx?.bucket ?? "", q: 'SELECT gone FROM "telemetry"' });
    const authorization = `Basic ${btoa(`${influx?.username}:${influx?.password}`)}`;
    const answer = await fetch(`${influx?.url}/query?${query}`, { headers: { authorization } });
    const { results } = (await answer.json()) as { results: { series?: { values: unknown[] }[] }[] };
    return results[0]?.series?.[0]?.values.length ?? 0;
  };
  await waitFor(async () => (await inInflux()) === 3, { timeoutMs: 20_000 });
  const range = ["--from", new Date(from).toISOString(), "--to", new Date(from + 5 * SECOND).toISOString()];
  const purge = (...rest: string[]) =>
    sluice.sluice("devices", "purge", "purged", ...range, "--json", ...rest);
  expect(JSON.parse(await purge("--dry-run"))).toMatchObject({ readings: 2, deleted: 0 });
  expect(await count()).toBe(3);
  expect(JSON.parse(await purge())).toMatchObject({ readings: 2, deleted: 2 });
  expect(await count()).toBe(1);
  await waitFor(async () => (await inInflux()) === 1, { timeoutMs: 20_000 });
  await waitFor(
    async () => {
      const groups = JSON.parse(await sluice.sluice("ledger", "--json")) as Record<
        string,
        { balanced: boolean }
      >;
      return Object.values(groups).every(({ balanced }) => balanced);
    },
    { timeoutMs: 20_000 },
  );
});
