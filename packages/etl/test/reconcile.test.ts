import { afterAll, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { type Db, openDb } from "@sluice/db";
import { createMender, type ExtraPolicy, reconcile } from "@sluice/etl";
import { createPointWriter, type Influx, openInflux, type Point } from "@sluice/influx";
import { decodeMessage } from "@sluice/shared-types";
import { useInflux, usePostgres } from "@sluice/testkit";

const HOUR_MS = 3_600_000;
const FROM_MS = Date.UTC(2026, 1, 11, 6);
const RANGE = { fromMs: FROM_MS, toMs: FROM_MS + 24 * HOUR_MS };
const signal = new AbortController().signal;

const postgres = usePostgres();
const server = useInflux();
let db: Db;
let influx: Influx;
beforeAll(async () => {
  db = await openDb(postgres.url);
  const { url, username, password } = server;
  influx = openInflux({ url, version: 1, bucket: "telemetry", username, password });
  await influx.ensureDatabase();
  await db.execute(
    `INSERT INTO iot.devices (device_code, device_type, name) VALUES
       ('d1', 'esp32', 'Shed'), ('d2', 'esp32', NULL), ('h1', 'hydroponics', NULL)`,
  );
  await db.execute(
    `INSERT INTO iot.sensors (device_id, sensor_code, value_type)
     SELECT id, f, 'number' FROM iot.devices, unnest(ARRAY['temperature', 'location', 'led']) f`,
  );
});
afterAll(async () => {
  await influx?.close();
  await db?.close();
});

/** Both stores the same: as many readings as `points` an hour has, in the models the writer would choose. */
beforeEach(async () => {
  await influx.query("DROP DATABASE telemetry");
  await influx.ensureDatabase();
  await db.execute("TRUNCATE measurement");
  const points: Point[] = [];
  for (let i = 0; i < 240; i++) {
    const timeUs = (FROM_MS + i * 360_000) * 1000 + 7;
    const temperature = 20 + i / 7;
    const fields = { temperature, location_field: i, led: i % 2 === 1, note: "x" };
    const tags = { device_id: "d1", device_type: "esp32", device_name: "Shed", topic: "t", rack: "7" };
    points.push({ measurement: "temperature", tags, fields: { ...fields, value: temperature }, timeUs });
    points.push({
      measurement: "sensor_reading",
      tags: { sensor_id: "h1", source: "http_api" },
      fields: { temperature, location: i, led: i % 2 },
      timeUs,
    });
  }
  await db.execute(
    `INSERT INTO measurement (time, sensor_id, value)
     SELECT $1::timestamptz + i * INTERVAL '6 minutes' + INTERVAL '7 microseconds', s.id,
            CASE sensor_code WHEN 'temperature' THEN 20 + i / 7.0::float8 WHEN 'location' THEN i ELSE i % 2 END
       FROM generate_series(0, 239) i, iot.sensors s
       JOIN iot.devices d ON d.id = s.device_id AND d.device_code IN ('d1', 'h1')`,
    [new Date(FROM_MS)],
  );
  await createPointWriter(influx, 5000).write(points);
});

const compare = (devices?: string[]) => reconcile(db, influx, RANGE, { signal, ...(devices && { devices }) });

async function repair(extra: ExtraPolicy) {
  const sent: string[] = [];
  const publish = async (_: string, message: string) => void sent.push(message);
  const mend = createMender(db, influx, { extra, publish });
  const refused: number[] = [];
  await reconcile(db, influx, RANGE, {
    signal,
    onDifferent: async (stretch) => void refused.push(await mend(stretch)),
  });
  return { sent: sent.map((message) => decodeMessage(message)), refused };
}

const sensorsOf = ({ sensors }: Awaited<ReturnType<typeof compare>>) =>
  sensors.map(({ device, field, kind, readings }) => `${device}/${field} ${kind} ${readings}`).sort();

test("stores that agree are found to agree, in both models, with renamed columns, booleans and texts", async () => {
  expect(await compare()).toMatchObject({ missing: 0, differing: 0, extra: 0, sensors: [], stretches: [] });
});

test("missing points, differing values and a series that is gone altogether are named and mended from PostgreSQL", async () => {
  const atUs = FROM_MS * 1000 + 7;
  await influx.deleteRange({ tags: { device_id: "d1" }, fromUs: atUs, toUs: atUs + 8 * 360_000_000 });
  await influx.write([
    `temperature,device_id=d1,device_name=Shed,device_type=esp32,rack=7,topic=t temperature=99,value=99 ${atUs + 10 * 360_000_000}`,
  ]);
  await db.execute(
    `INSERT INTO measurement (time, sensor_id, value)
     SELECT $1, s.id, 5 FROM iot.sensors s JOIN iot.devices d ON d.id = s.device_id
      WHERE device_code = 'd2' AND sensor_code = 'temperature'`,
    [new Date(FROM_MS + HOUR_MS)],
  );
  expect(sensorsOf(await compare())).toEqual([
    "d1/led missing 8",
    "d1/location missing 8",
    "d1/temperature differing 1",
    "d1/temperature missing 8",
    "d2/temperature missing 1",
  ]);
  expect(sensorsOf(await compare(["d2"]))).toEqual(["d2/temperature missing 1"]);
  expect(await repair("keep")).toEqual({ sent: [], refused: [0, 0] });
  expect(sensorsOf(await compare())).toEqual([]);
  const series = await influx.query("SHOW SERIES FROM temperature");
  expect(series.flatMap(({ rows }) => rows)).toHaveLength(1); // into the series that was there
  expect(await influx.query("SELECT * FROM telemetry")).toMatchObject([
    { rows: [{ device_id: "d2", temperature: 5 }] },
  ]);
});

test("what only InfluxDB has is sent as it was, or deleted without what stands beside it", async () => {
  const atUs = (FROM_MS + 60_000) * 1000;
  const line = (fields: string, at: number) =>
    `temperature,device_id=d1,device_name=Shed,device_type=esp32,rack=7,topic=t ${fields} ${at}`;
  await influx.write([line("temperature=31,value=31", atUs), line("ph=6", FROM_MS * 1000 + 7)]);
  expect(sensorsOf(await compare())).toEqual(["d1/ph extra 1", "d1/temperature extra 1"]);
  const { sent } = await repair("send");
  expect(sent).toHaveLength(1);
  expect(sent[0]).toMatchObject({
    device: "d1",
    kind: "telemetry",
    type: "temperature",
    topic: "t",
    tags: { rack: "7" },
  });
  expect(sent[0]?.samples.map(({ timeUs, readings }) => [timeUs, readings])).toEqual([
    [FROM_MS * 1000 + 7, [{ field: "ph", value: 6 }]],
    [atUs, [{ field: "temperature", value: 31 }]],
  ]);
  await repair("delete");
  expect(sensorsOf(await compare())).toEqual([]);
});

test("what was deleted on purpose is taken out of InfluxDB, and never sent back", async () => {
  const fromUs = FROM_MS * 1000;
  await db.execute(
    `INSERT INTO tombstone (stream, ordinal, message_id, device, from_time, to_time, published_at)
     VALUES ('s', 1, 'm', 'd1', $1, $2, now())`,
    [new Date(FROM_MS), new Date(FROM_MS + HOUR_MS)],
  );
  await db.execute(
    `DELETE FROM measurement m USING iot.sensors s JOIN iot.devices d ON d.id = s.device_id
      WHERE s.id = m.sensor_id AND device_code = 'd1' AND m.time < $1`,
    [new Date(FROM_MS + HOUR_MS)],
  );
  expect(sensorsOf(await compare())).toEqual([
    "d1/led extra 10",
    "d1/location extra 10",
    "d1/temperature extra 10",
  ]);
  expect((await repair("send")).sent).toEqual([]);
  expect(sensorsOf(await compare())).toEqual([]);
  const left = await influx.query(`SELECT * FROM temperature WHERE time <= ${(fromUs + 100) * 1000}`);
  expect(left).toMatchObject([{ rows: [{ note: "x", temperature: null }] }]); // texts are not compared
  await db.execute("TRUNCATE tombstone");
});

test("deleting takes neither what stands between unwanted points nor a series with more tags, in few requests", async () => {
  const atUs = (minute: number) => (FROM_MS + minute * 60_000) * 1000;
  const line = (minute: number, fields: string, tags = "") =>
    `air,device_id=d2${tags} ${fields} ${atUs(minute)}`;
  const extra = [1, 2, 3, 6, 7].map((minute) => line(minute, `temperature=${minute}`));
  await influx.write([...extra, line(4, 'note="between"'), line(2, 'note="beside"', ",rack=1")]);
  let requests = 0;
  const counting: Influx = {
    ...influx,
    deleteRange: (range) => {
      requests++;
      return influx.deleteRange(range);
    },
  };
  const mend = createMender(db, counting, { extra: "delete", publish: async () => {} });
  await reconcile(db, influx, RANGE, { signal, onDifferent: async (found) => void (await mend(found)) });
  const notes = await influx.query("SELECT note FROM air");
  expect(notes.flatMap(({ rows }) => rows.map(({ note }) => note))).toEqual(["beside", "between"]);
  expect(await influx.query("SELECT temperature FROM air")).toEqual([]);
  expect(requests).toBe(2);
});

test("what PostgreSQL's retention has taken away is not missed", async () => {
  await db.execute(
    `INSERT INTO retention_horizon (sensor_id, horizon)
     SELECT s.id, $1 FROM iot.sensors s JOIN iot.devices d ON d.id = s.device_id WHERE device_code = 'd1'`,
    [new Date(FROM_MS + 12 * HOUR_MS)],
  );
  await db.execute(
    `DELETE FROM measurement m USING iot.sensors s JOIN iot.devices d ON d.id = s.device_id
      WHERE s.id = m.sensor_id AND device_code = 'd1' AND m.time < $1`,
    [new Date(FROM_MS + 12 * HOUR_MS)],
  );
  expect(sensorsOf(await compare())).toEqual([]);
  await db.execute("TRUNCATE retention_horizon");
});
