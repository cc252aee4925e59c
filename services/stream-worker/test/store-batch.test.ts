import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { startProxy, usePostgres, useRedis } from "@sluice/testkit";
import { entry, message, type OpenWorker, OUTCOMES, openStore } from "./open-worker.ts";

const postgres = usePostgres();
const redis = useRedis();
let worker: OpenWorker & { close(): Promise<void> };
beforeAll(async () => {
  worker = await openStore(postgres.url, redis.url);
});
afterAll(() => worker?.close());

const T = Date.UTC(2026, 1, 3) * 1000;
let device = "";
let devices = 0;
beforeEach(() => {
  device = `d${devices++}`;
});
afterEach(() => worker.db.query("TRUNCATE quarantine, rollup_dirty, rollup_watermark"));

const handle = async (...messages: string[]) => (await worker.store.handle([entry(messages)]))[0];
const rows = () =>
  worker.db.query<{ field: string; us: number; value: number | null; status: string }>(
    `SELECT s.sensor_code AS field, (extract(epoch FROM m.time) * 1e6)::int8 AS us, m.value, m.status
       FROM measurement m JOIN iot.sensors s ON s.id = m.sensor_id JOIN iot.devices d ON d.id = s.device_id
      WHERE d.device_code = $1 ORDER BY 1, 2`,
    [device],
  );
const quarantined = () =>
  worker.db.query<{ reason: string; payload: Buffer; message_id: string; detail: string }>(
    "SELECT reason, payload, message_id, detail FROM quarantine ORDER BY id",
  );

test("every field becomes a row under the time the gateway resolved, to the microsecond", async () => {
  const outcome = await handle(
    message({ device, timeUs: T + 1 }, { temperature: 21.25, on: true, broken: null }),
  );
  expect(outcome).toMatchObject({ stored: 1, duplicate: 0, quarantined: 0 });
  expect(await rows()).toEqual([
    { field: "broken", us: T + 1, value: null, status: "error" },
    { field: "on", us: T + 1, value: 1, status: "ok" },
    { field: "temperature", us: T + 1, value: 21.25, status: "ok" },
  ]);
});

test("a batch takes four round trips: BEGIN, what is new, its account, COMMIT", async () => {
  let trips = 0;
  let asking = false;
  const proxy = await startProxy(Number(new URL(postgres.url).port), {
    observe: () => ({
      request: () => {
        if (!asking) trips++;
        asking = true;
      },
      reply: () => {
        asking = false;
      },
    }),
  });
  const far = await openStore(postgres.url.replace(/:\d+\//, `:${proxy.port}/`), redis.url);
  try {
    const store = (...ages: number[]) => {
      const messages = ages.map((age, seq) =>
        message({ device, timeUs: T + age, boot: String(age), seq }, { v: age }),
      );
      return far.store.handle([{ ...entry(messages), ordinal: 1 }]);
    };
    await store(1, 2);
    proxy.delay(50); // answers to one flight come together
    trips = 0;
    await store(3, 4, 5);
    expect(trips).toBe(4);
  } finally {
    await far.close();
    await proxy.close();
  }
});

test("the same readings in another entry are a duplicate, and one that differs is kept aside", async () => {
  await handle(message({ device, timeUs: T }, { v: 1, w: 2 }));
  expect(await handle(message({ device, timeUs: T }, { v: 1, w: 2 }))).toMatchObject({ duplicate: 1 });
  const payload = { v: 9, w: 2 };
  expect(await handle(message({ device, timeUs: T }, payload))).toMatchObject({ quarantined: 1 });
  expect((await rows()).map(({ value }) => value)).toEqual([1, 2]);
  const [kept] = await quarantined();
  expect(kept).toMatchObject({ reason: "conflicting_duplicate", detail: expect.stringContaining("'v'") });
  expect(JSON.parse(String(kept?.payload))).toEqual(payload);
});

test("repetitions and contradictions within one batch are told apart as well", async () => {
  const outcome = await handle(
    message({ device, timeUs: T }, { v: 1 }),
    message({ device, timeUs: T }, { v: 1 }),
    message({ device, timeUs: T }, { v: 2 }),
    message({ device, timeUs: T + 1 }, { v: 3 }),
  );
  expect(outcome).toMatchObject({ stored: 2, duplicate: 1, quarantined: 1 });
  expect((await rows()).map(({ value }) => value)).toEqual([1, 3]);
});

test("an entry delivered again after its commit is only reported, with the outcomes of the first time", async () => {
  const first = entry([message({ device, timeUs: T }, { v: 1 }), message({ device, timeUs: T }, { v: 5 })]);
  const [before] = await worker.store.handle([first]);
  const [after] = await worker.store.handle([{ ...first, attempts: 2 }]);
  expect(after).toEqual(before);
  expect(before).toMatchObject({ stored: 1, quarantined: 1 });
  expect(await quarantined()).toHaveLength(1);
});

test("two workers given the same entry at once commit it once", async () => {
  const other = await openStore(postgres.url, redis.url);
  try {
    for (let i = 0; i < 10; i++) {
      const same = entry([message({ device, timeUs: T + i }, { v: i, w: i })]);
      const outcomes = await Promise.all([worker.store.handle([same]), other.store.handle([same])]);
      expect(outcomes.map(([one]) => one?.stored)).toEqual([1, 1]);
    }
    expect(await rows()).toHaveLength(20);
  } finally {
    await other.close();
  }
});

test("a sequence number sent again with other readings is kept aside; with the same it is a duplicate", async () => {
  const identity = { device, boot: "b1", seq: 7 };
  await handle(message({ ...identity, timeUs: T }, { v: 1 }));
  expect(await handle(message({ ...identity, timeUs: T }, { v: 1 }))).toMatchObject({ duplicate: 1 });
  expect(await handle(message({ ...identity, timeUs: T + 5 }, { v: 1 }))).toMatchObject({ quarantined: 1 });
  expect(await handle(message({ ...identity, timeUs: T + 6, clock: "none" }, { v: 1 }))).toMatchObject({
    duplicate: 1,
  });
  expect(await handle(message({ ...identity, timeUs: T + 7, clock: "none" }, { v: 2 }))).toMatchObject({
    quarantined: 1,
  });
  expect(await handle(message({ ...identity, boot: "b2", timeUs: T + 8 }, { v: 2 }))).toMatchObject({
    stored: 1,
  });
  expect(await rows()).toHaveLength(2);
});

test("a device without boot ids that counts from 0 again loses nothing", async () => {
  for (const seq of [0, 1, 2, 0, 1]) {
    const timeUs = T + 10 * (await rows()).length;
    expect(await handle(message({ device, seq, timeUs }, { v: seq }))).toMatchObject({ stored: 1 });
  }
  expect(await rows()).toHaveLength(5);
});

test("holes in a device's sequence are named", async () => {
  const seqs = [1, 2, 5, 9, 8, 2 ** 40];
  await handle(...seqs.map((seq) => message({ device, boot: "x", seq, timeUs: T + seq }, { v: seq })));
  const gaps = await worker.db.query<{ from_seq: number; to_seq: number }>(
    "SELECT from_seq, to_seq FROM device_sequence_gap WHERE device_code = $1 ORDER BY 1",
    [device],
  );
  expect(gaps).toEqual([
    { from_seq: 3, to_seq: 4 },
    { from_seq: 6, to_seq: 7 },
    { from_seq: 10, to_seq: 2 ** 40 - 1 },
  ]);
});

test("a type conflict costs the one reading, not its message", async () => {
  await handle(message({ device, timeUs: T }, { v: 1, text: "a", late: null }));
  const mixed = { v: "12abc", text: 5, late: "x" };
  expect(await handle(message({ device, timeUs: T + 1 }, mixed))).toMatchObject({ stored: 1 });
  expect(await quarantined()).toMatchObject([{ reason: "type_conflict" }]);
  const texts = await worker.db.query(
    `SELECT m.value FROM measurement_text m JOIN iot.sensors s ON s.id = m.sensor_id
       JOIN iot.devices d ON d.id = s.device_id WHERE d.device_code = $1 ORDER BY 1`,
    [device],
  );
  expect(texts).toEqual([{ value: "5" }, { value: "a" }, { value: "x" }]);
});

test.each([
  ["12.5", 12.5],
  ["-1e3", -1000],
])("the string %p is the number it strictly is", async (text, value) => {
  await handle(message({ device, timeUs: T }, { v: 1 }), message({ device, timeUs: T + 1 }, { v: text }));
  expect((await rows())[1]?.value).toBe(value);
});

test.each(["", " 12 ", "0x1F", "1,5", "1e999"])("the string %p is no number", async (text) => {
  await handle(message({ device, timeUs: T }, { v: 1 }));
  expect(await handle(message({ device, timeUs: T + 1 }, { v: text }))).toMatchObject({ quarantined: 1 });
});

test("one row that PostgreSQL refuses is found among a thousand, the others are stored", async () => {
  await worker.db.query("ALTER TABLE measurement ADD CONSTRAINT poison CHECK (value < 1e6) NOT VALID");
  try {
    const messages = Array.from({ length: 1000 }, (_, i) =>
      message({ device, timeUs: T + i }, { v: i === 617 ? 1e7 : i }),
    );
    expect(await handle(...messages)).toMatchObject({ stored: 999, quarantined: 1 });
    expect(await rows()).toHaveLength(999);
    const [kept] = await quarantined();
    expect(kept).toMatchObject({ reason: "poison_row", message_id: expect.stringMatching(/#617$/) });
    expect(String(kept?.payload)).toBe('{"v":10000000}');
  } finally {
    await worker.db.query("ALTER TABLE measurement DROP CONSTRAINT poison");
  }
});

test("what is no message is kept as it came, and its neighbours are stored", async () => {
  const outcome = await handle(
    "not json",
    '{"d":"x y","t":[1],"y":"t","w":"mqtt","r":1,"c":"none","p":{"v":1}}',
    message({ device, timeUs: T }, { v: 1 }),
    message({ device, timesUs: [null] }, { v: 1 }),
  );
  expect(outcome).toMatchObject({ stored: 1, quarantined: 3 });
  expect(await quarantined()).toMatchObject([
    { reason: "undecodable", payload: Buffer.from("not json") },
    { reason: "bad_device_id" },
    { reason: "no_readings" },
  ]);
});

test("fields beyond the budget go to quarantine, known ones go on", async () => {
  const small = await openStore(postgres.url, redis.url, { sensorBudget: 3 });
  try {
    const [first] = await small.store.handle([
      entry([message({ device, timeUs: T }, { a: 1, b: 2, c: 3, d: 4, e: 5 })]),
    ]);
    const [second] = await small.store.handle([entry([message({ device, timeUs: T + 1 }, { f: 1 })])]);
    expect([first?.stored, second?.quarantined]).toEqual([1, 1]);
    expect(await rows()).toHaveLength(3);
    expect((await quarantined()).map(({ reason }) => reason)).toEqual(["sensor_budget", "sensor_budget"]);
  } finally {
    await small.close();
  }
});

test("without self-registration unknown devices and fields are refused by name", async () => {
  const strict = await openStore(postgres.url, redis.url, { autoRegister: false });
  try {
    await strict.store.handle([entry([message({ device, timeUs: T }, { v: 1 })])]);
    await handle(message({ device, timeUs: T }, { v: 1 }));
    await strict.store.handle([entry([message({ device, timeUs: T + 1 }, { v: 2, w: 1 })])]);
    expect((await quarantined()).map(({ reason }) => reason)).toEqual(["unknown_device", "unknown_sensor"]);
    expect(await rows()).toHaveLength(2);
  } finally {
    await strict.close();
  }
});

test("a correction replaces the value, keeps the old one, and is the only thing that does", async () => {
  await worker.db.query("INSERT INTO rollup_watermark (name, watermark) VALUES ('mark', '2026-03-01')");
  await handle(
    message({ device, timeUs: T }, { v: 1, t: "a" }),
    message({ device, timeUs: T + 600e6 }, { v: 2 }),
  );
  await worker.db.query("TRUNCATE rollup_dirty");
  const correct = (v: number, receivedUs: number) =>
    handle(message({ device, timeUs: T, receivedUs, correction: true }, { v, t: "b" }));
  expect(await correct(10, T + 2)).toMatchObject({ stored: 1 });
  expect(await correct(10, T + 3)).toMatchObject({ duplicate: 1 });
  expect(await correct(11, T + 1)).toMatchObject({ duplicate: 1 });
  expect((await rows()).map(({ value }) => value)).toEqual([10, 2]);
  expect(
    await worker.db.query(
      "SELECT old_value, new_value, old_text, new_text FROM measurement_revision ORDER BY 1",
    ),
  ).toEqual([
    { old_value: 1, new_value: 10, old_text: null, new_text: null },
    { old_value: null, new_value: null, old_text: "a", new_text: "b" },
  ]);
  expect(
    await worker.db.query(
      `SELECT (extract(epoch FROM from_time) * 1e6)::int8 AS from_us, (extract(epoch FROM to_time) * 1e6)::int8 AS to_us
         FROM rollup_dirty`,
    ),
  ).toEqual([{ from_us: T, to_us: T + 600e6 }]);
});

test("only readings older than the watermark mark buckets", async () => {
  await worker.db.query(
    "INSERT INTO rollup_watermark (name, watermark) VALUES ('mark', '2026-02-03 00:10Z')",
  );
  await handle(
    message({ device, timeUs: T + 601e6 }, { v: 1 }),
    message({ device, timeUs: T + 301e6 }, { v: 1 }),
  );
  expect(
    await worker.db.query("SELECT (extract(epoch FROM from_time) * 1e6)::int8 AS us FROM rollup_dirty"),
  ).toEqual([{ us: T + 300e6 }]);
});

test("readings of long ago get partitions of their own, and an impossible clock is flagged", async () => {
  const longAgo = Date.UTC(2019, 4, 5, 6) * 1000;
  await handle(
    message({ device, timeUs: longAgo, source: "import" }, { v: 1 }),
    message({ device, timeUs: T, clock: "past" }, { v: 1 }),
  );
  const [found] = await worker.db.query<{ part: string }>(
    "SELECT tableoid::regclass::text AS part FROM measurement WHERE time < '2020-01-01' LIMIT 1",
  );
  expect(found?.part).toBe("measurement_2019w18");
  const flags = await worker.db.query(
    `SELECT flags FROM quality_flag q JOIN iot.sensors s ON s.id = q.sensor_id
       JOIN iot.devices d ON d.id = s.device_id WHERE d.device_code = $1`,
    [device],
  );
  expect(flags).toEqual([{ flags: ["clock_past"] }]);
});

test("presence follows the newest message by time, in whatever order they come", async () => {
  const status = (type: string, timeUs: number) =>
    message({ device, kind: "status", type, timeUs }, { status: type });
  const now = async () =>
    (
      await worker.db.query<{ status: string }>("SELECT status FROM iot.devices WHERE device_code = $1", [
        device,
      ])
    )[0]?.status;
  await handle(status("online", T + 10));
  await handle(status("offline", T + 5));
  expect(await now()).toBe("online");
  await handle(status("heartbeat", T + 20), status("offline", T + 30), status("online", T + 25));
  expect(await now()).toBe("offline");
  await handle(message({ device, timeUs: T + 40 }, { v: 1 }));
  expect(await now()).toBe("online");
});

test("who asked is told what became of the message, and again if it is delivered again", async () => {
  const asked = { device, timeUs: T, boot: "b", seq: 3, notify: "gw-1:9" };
  const first = entry([
    message(asked, { v: 1 }),
    message({ device, timeUs: T, notify: "gw-1:10" }, { v: 2 }),
  ]);
  await worker.store.handle([first]);
  await worker.store.handle([{ ...first, attempts: 2 }]);
  const told = (await worker.bus.browse(OUTCOMES, { from: "-", count: 10 })).flatMap(({ messages }) =>
    messages.map((text) => JSON.parse(text)),
  );
  expect(told).toEqual([
    { notify: "gw-1:9", device, boot: "b", seq: 3, level: "stored" },
    { notify: "gw-1:10", device, level: "quarantined", reason: "conflicting_duplicate" },
    { notify: "gw-1:9", device, boot: "b", seq: 3, level: "stored" },
    { notify: "gw-1:10", device, level: "quarantined" },
  ]);
});

test("two workers that see a new device at once register it once, with one type per field", async () => {
  const other = await openStore(postgres.url, redis.url);
  try {
    const ids = Array.from({ length: 20 }, (_, i) => `${device}_${i}`);
    const batch = (value: unknown, at: number) => [
      entry(ids.map((id) => message({ device: id, timeUs: T + at }, { x: value, y: 1 }))),
    ];
    await Promise.all([worker.store.handle(batch(1, 1)), other.store.handle(batch("word", 2))]);
    const sensors = await worker.db.query<{ n: number }>(
      `SELECT count(*) AS n FROM iot.sensors s JOIN iot.devices d ON d.id = s.device_id
        WHERE d.device_code LIKE $1 || '\\_%' AND s.value_type IS NOT NULL`,
      [device],
    );
    expect(sensors[0]?.n).toBe(40);
  } finally {
    await other.close();
  }
});
