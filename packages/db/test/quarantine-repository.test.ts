import { afterAll, beforeAll, beforeEach, expect, test } from "@jest/globals";
import {
  countQuarantine,
  createFleet,
  type Db,
  discardQuarantined,
  fixQuarantined,
  getQuarantined,
  hashSecret,
  listConnectionRefusals,
  listCredentials,
  listQuarantine,
  noteConnectionRefusals,
  openDb,
  purgeConnectionRefusals,
  purgeQuarantine,
  replayQuarantined,
} from "@sluice/db";
import { usePostgres } from "@sluice/testkit";

const postgres = usePostgres();
let db: Db;
beforeAll(async () => {
  db = await openDb(postgres.url);
});
afterAll(() => db?.close());
beforeEach(() => db.query("TRUNCATE public.quarantine, audit.events RESTART IDENTITY"));

async function refuse(key: string, reason = "not_json", device = "a"): Promise<number> {
  const [row] = await db.query<{ id: number }>(
    `INSERT INTO quarantine (dedupe_key, reason, detail, source, device, received_at, payload)
     VALUES ($1, $2, 'd', 'mqtt', $3, '2026-01-02T03:04:05.678901Z', '{"t":1') RETURNING id`,
    [key, reason, device],
  );
  return row?.id ?? 0;
}

test("refusals are filtered by everything given, and carry their arrival to the microsecond", async () => {
  const first = await refuse("1");
  await refuse("2", "bad_value");
  await refuse("3", "not_json", "b");
  const found = await listQuarantine(db, { reason: "not_json", device: "a" }, { limit: 10 });
  expect(found.map(({ id }) => id)).toEqual([first]);
  expect(found[0]?.receivedUs).toBe(Date.UTC(2026, 0, 2, 3, 4, 5) * 1000 + 678_901);
  expect(await countQuarantine(db, { since: new Date(0) })).toEqual([
    { reason: "not_json", count: 2 },
    { reason: "bad_value", count: 1 },
  ]);
  expect(await listQuarantine(db, { since: new Date(Date.now() + 60_000) }, { limit: 10 })).toEqual([]);
});

test("a fix replaces the bytes and leaves the old ones in the audit log", async () => {
  const id = await refuse("1");
  await fixQuarantined(db, id, { payload: '{"t":1}', type: "sensors" });
  const row = await getQuarantined(db, id);
  expect([row.payload.toString(), row.type, row.status]).toEqual(['{"t":1}', "sensors", "fixed"]);
  const [event] = await db.query<{ data: { before: { payload: string } } }>(
    "SELECT data FROM audit.events WHERE event_type = 'quarantine.fixed'",
  );
  expect(Buffer.from(event?.data.before.payload ?? "", "base64").toString()).toBe('{"t":1');
});

test("what a replay gives back is replayed once; the rest waits", async () => {
  const ids = [await refuse("1"), await refuse("2"), await refuse("3")];
  await replayQuarantined(db, {}, 10, async (rows) => rows.slice(0, 2).map(({ id }) => id));
  const seen: number[] = [];
  await replayQuarantined(db, {}, 10, async (rows) => {
    seen.push(...rows.map(({ id }) => id));
    return [];
  });
  expect(seen).toEqual([ids[2]]);
});

test("two replays at once never hand out the same refusal, and one that fails leaves its rows waiting", async () => {
  await refuse("1");
  await refuse("2");
  const inner: number[] = [];
  const outer = replayQuarantined(db, {}, 1, async () => {
    await replayQuarantined(db, {}, 10, async (rows) => {
      inner.push(...rows.map(({ id }) => id));
      return inner;
    });
    throw new Error("the bus is gone");
  });
  await expect(outer).rejects.toThrow("the bus is gone");
  expect(inner).toEqual([2]);
  expect((await listQuarantine(db, { status: ["open"] }, { limit: 10 })).map(({ id }) => id)).toEqual([1]);
});

test("a discarded refusal is neither fixed nor replayed", async () => {
  const id = await refuse("1");
  expect(await discardQuarantined(db, [id, 99])).toEqual([id]);
  expect(await discardQuarantined(db, [id])).toEqual([]);
  await expect(fixQuarantined(db, id, { payload: "{}" })).rejects.toThrow("no refusal 1");
  expect(await replayQuarantined(db, {}, 10, async (rows) => rows.map((row) => row.id))).toEqual([]);
});

test("a fleet's credential owns all its devices, and its former secret stays good for the overlap", async () => {
  const pepper = "0123456789abcdef";
  const input = { username: "sim", type: "simulated", overlapMs: 60_000 };
  const first = await createFleet(db, pepper, { ...input, devices: ["s1", "s2"] });
  const second = await createFleet(db, pepper, { ...input, devices: ["s2", "s3"] });
  const [credential] = (await listCredentials(db)).filter(({ username }) => username === "sim");
  expect(credential?.devices).toEqual(["s1", "s2", "s3"]);
  expect(credential?.passwordHash).toBe(hashSecret(pepper, second.password));
  expect(credential?.previous.map(({ hash }) => hash)).toEqual([hashSecret(pepper, first.password)]);
});

test("quarantine forgets what is old, then the oldest that exceed its size, settled ones first; it says so", async () => {
  const ids = [];
  for (const key of ["1", "2", "3", "4", "5"]) ids.push(await refuse(key));
  await db.execute("UPDATE quarantine SET created_at = now() - interval '10 days' WHERE id = $1", [ids[0]]);
  await discardQuarantined(db, [ids[4] ?? 0]);
  expect(await purgeQuarantine(db, { days: 9, maxBytes: 1_100 })).toEqual({ old: 1, excess: 2 });
  const kept = await listQuarantine(db, {}, { limit: 10 });
  expect(kept.map(({ id }) => id)).toEqual([ids[3], ids[2]]);
  expect(await purgeQuarantine(db, { days: 9, maxBytes: 1_100 })).toEqual({ old: 0, excess: 0 });
  const events = await db.query("SELECT data FROM audit.events WHERE event_type = 'quarantine.purged'");
  expect(events).toEqual([{ data: { old: 1, excess: 2 } }]);
});

test("a refused connection delivered again is counted once; the latest senders stay", async () => {
  const knock = (messageId: string, username: string, times = 1) => ({
    ...{ messageId, username, times, reason: "bad_credentials" as const, detail: "wrong", source: "mqtt" },
    ...{ address: "10.0.0.7", clientId: "", receivedUs: Date.now() * 1000, payload: Buffer.alloc(0) },
  });
  await noteConnectionRefusals(db, [knock("1#0", "a"), knock("1#1", "a", 3), knock("1#2", "b")]);
  await noteConnectionRefusals(db, [knock("1#0", "a"), knock("1#1", "a", 3), knock("1#2", "b")]);
  await noteConnectionRefusals(db, [knock("2#0", "b")]);
  await noteConnectionRefusals(db, [knock("3#0", "c")]);
  const list = (of?: string[]) => listConnectionRefusals(db, { since: new Date(0), of, limit: 10 });
  expect((await list()).map(({ username, times }) => [username, times])).toEqual([
    ["c", 1],
    ["b", 2],
    ["a", 4],
  ]);
  expect(await list(["a", "esp32"])).toHaveLength(1);
  expect(await purgeConnectionRefusals(db, 2)).toBe(1);
  await db.execute("UPDATE connection_refusal SET last_at = now() - interval '31 days' WHERE username = 'b'");
  expect(await purgeConnectionRefusals(db)).toBe(1);
  expect((await list()).map(({ username }) => username)).toEqual(["c"]);
});
