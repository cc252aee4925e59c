import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { openBus, openKeyValue } from "@sluice/bus";
import { type Db, openDb } from "@sluice/db";
import { CAN_STREAM } from "@sluice/shared-types";
import { type Installation, startInstallation, waitFor } from "@sluice/testkit";

const ROOT = resolve(import.meta.dirname, "../../..");
let installation: Installation;
let db: Db;

beforeAll(async () => {
  installation = await startInstallation({ services: ["ingest-gateway", "stream-worker"] });
  db = await openDb(installation.urls().postgresUrl, { max: 2 });
});
afterAll(async () => {
  await db?.close();
  await installation?.stop();
});

/** Runs the CLI with something on its standard input. */
function sluice(args: readonly string[], input = ""): Promise<{ code: number; stdout: string }> {
  return new Promise((done) => {
    const child = execFile(
      resolve(ROOT, "sluice"),
      [...args, "--data-dir", installation.dataDir],
      (error, stdout) => done({ code: typeof error?.code === "number" ? error.code : 0, stdout }),
    );
    child.stdin?.end(input);
  });
}

const values = async () => {
  const rows = await db.query<{
    name: string;
    value: number | null;
    status: string;
    ms: number;
    room: string;
  }>(
    `SELECT s.name, m.value, m.status, (extract(epoch FROM m.time) * 1000)::int8 AS ms, r.name AS room
       FROM measurement m JOIN sensor s USING (sensor_id) JOIN device d USING (device_id) JOIN room r USING (room_id)
      ORDER BY m.time, s.name`,
  );
  return new Map(rows.map((row) => [`${row.name}@${row.ms}`, row]));
};
const canLedger = async () => {
  const bus = await openBus(installation.urls().redisUrl);
  try {
    return (await bus.ledger("can:raw"))[0];
  } finally {
    await bus.close();
  }
};

const T = Math.floor(Date.now() / 1000) - 60;
/** As `candump -L can0` prints it. */
const CANDUMP = `
(${T}.000000) can0 101#09C407D001000000
(${T}.100000) can0 102#0866157C26480000
(${T + 1}.000000) can0 101#09C407D002000000
(${T + 1}.200000) can0 203#0190000000000000
(${T + 1}.300000) can0 301#7FFF07D001000000
(${T + 1}.400000) can0 105#AA55000186A00000
(${T + 1}.500000) can0 901#09C407D001000000
(${T + 1}.600000) can0 1FF#09C407D001000000
(${T + 1}.700000) can0 401#0898070801000000
`;

test("candump -L can0 | ./sluice can-scanner - stores what the frames say, and refuses the others by name", async () => {
  const { stdout, code } = await sluice(["can-scanner", "-", "--json"], CANDUMP);
  expect(JSON.parse(stdout)).toEqual({ frames: 9, badLines: 0 });
  expect(code).toBe(0);
  await waitFor(async () => (await canLedger())?.pending === 0 && (await canLedger())?.stored === 7, {
    timeoutMs: 20_000,
    what: "seven frames to be stored",
  });
  const at = (name: string, ms: number) => values().then((all) => all.get(`${name}@${ms}`));
  // 25 °C dry and 20 °C wet: at 1013.25 hPa while no pressure was heard of, then at 980 hPa.
  expect(await at("rh_b", T * 1000)).toMatchObject({ value: 63.192, room: "Flower Room" });
  expect(await at("vpd_b", (T + 1) * 1000)).toMatchObject({ value: 1.155 });
  expect(await at("dry_bulb_v", T * 1000 + 1300)).toMatchObject({ value: null, status: "error" });
  expect(await at("rh_v", T * 1000 + 1300)).toMatchObject({ value: null, status: "error", room: "Veg Room" });
  expect(await at("co2_f", T * 1000 + 1200)).toMatchObject({ value: null, status: "error" });
  expect(await at("water_temp", T * 1000 + 1700)).toMatchObject({ value: 18, room: "Lab" });
  await waitFor(async () => (await db.query("SELECT FROM quarantine WHERE source = 'can'")).length === 2);
  expect(await db.query("SELECT reason FROM quarantine WHERE source = 'can' ORDER BY 1")).toEqual([
    { reason: "bad_frame" },
    { reason: "unknown_can_node" },
  ]);
  expect(await canLedger()).toMatchObject({ group: "can-worker-group", quarantined: 2, balanced: true });
});

test("a log that is scanned again stores nothing twice, whatever is killed meanwhile", async () => {
  const before = await values();
  await installation.kill("stream-worker", "SIGKILL");
  await sluice(["can-scanner", "-"], CANDUMP);
  await installation.kill("ingest-gateway", "SIGKILL");
  await waitFor(async () => (await canLedger())?.duplicate === 7 || (await canLedger())?.balanced === false, {
    timeoutMs: 60_000,
    what: "seven duplicates",
  });
  const ledger = await canLedger();
  expect(ledger).toMatchObject({ stored: 7, pending: 0, unread: 0, balanced: true });
  expect((await values()).size).toBe(before.size);
});

test("migrate-can-messages takes over every row once, verifies it, and leaves the old table as it was", async () => {
  await db.execute(
    `CREATE TABLE can_messages (id BIGSERIAL PRIMARY KEY, timestamp TIMESTAMPTZ, can_id INT, node_id INT,
       message_type TEXT, dlc INT, raw_data TEXT, decoded_data JSONB, created_at TIMESTAMPTZ DEFAULT now())`,
  );
  await db.execute(
    `INSERT INTO can_messages (timestamp, can_id, node_id, message_type, dlc, raw_data, decoded_data)
     SELECT '2025-06-01T00:00:00.000123Z'::timestamptz + i * INTERVAL '1 second', 257, 1, 'PT100', 8, '09 C4 07 D0',
            jsonb_build_object('node_id', 1, 'message_type', 'PT100', 'can_id', 257, 'dlc', 8, 'temp_dry_c', 20 + i % 7 / 4.0,
              'temp_wet_c', CASE WHEN i = 5 THEN NULL ELSE 15.25 END, 'message_count', i)
       FROM generate_series(1, 5000) AS i`,
  );
  await db.execute(
    `INSERT INTO can_messages (timestamp, node_id, message_type, decoded_data) VALUES
       ('2025-06-02Z', 2, 'SCD30', '{"co2_ppm": 812, "temperature_c": 21.5, "humidity_percent": 60}'),
       ('2025-06-02Z', 7, 'SCD30', '{"co2_ppm": 1, "temperature_c": 2, "humidity_percent": 3}'),
       ('2025-06-02Z', 2, 'MYSTERY', '{"x": 1}')`,
  );
  const digest = "SELECT count(*) AS n, md5(string_agg(c::text, '|' ORDER BY id)) AS md5 FROM can_messages c";
  const before = await db.query(digest);
  const run = async () => JSON.parse((await sluice(["migrate-can-messages", "--json"])).stdout);
  const report = await run();
  expect(report).toMatchObject({
    complete: true,
    verified: true,
    rows: 5003,
    rowsMigrated: 5001,
    rowsRefused: { unknown_can_node: 1, bad_frame: 1 },
    readings: 15_003,
    missing: 0,
    different: 0,
    from: "2025-06-01T00:00:01.000Z",
  });
  expect(report.sensors.find((s: { sensor: string }) => s.sensor === "wet_bulb_b")).toMatchObject({
    readings: 5000,
    nulls: 1,
    min: 15.25,
    max: 15.25,
  });
  expect(
    await db.query(
      `SELECT count(*) AS n, min(m.time) = '2025-06-01T00:00:01.000123Z' AS first, max(value) AS max FROM measurement m
         JOIN sensor s USING (sensor_id) WHERE s.name = 'dry_bulb_b' AND m.time < '2026-01-01'`,
    ),
  ).toEqual([{ n: 5000, first: true, max: 21.5 }]);
  expect(await run()).toMatchObject({ resumedAfterId: 5003, verified: true, complete: true });
  await db.execute(
    "UPDATE core.system_config SET value = '{\"last_id\": 1234}' WHERE key = 'migrate.can_messages'",
  );
  expect(await run()).toMatchObject({ resumedAfterId: 1234, verified: true, complete: true });
  expect(await db.query("SELECT FROM measurement WHERE time < '2026-01-01'")).toHaveLength(15_003);
  expect(await db.query("SELECT FROM quarantine WHERE message_id LIKE 'can_messages/%'")).toHaveLength(2);
  expect(await db.query(digest)).toEqual(before);
});

test("the newest values of a node are under sensor:{name} while they come, and those of an old log are not", async () => {
  const { redisUrl } = installation.urls();
  const [bus, keyValue] = [await openBus(redisUrl), await openKeyValue(redisUrl)];
  try {
    expect(await keyValue.find("sensor:dry_bulb_b")).toBeUndefined();
    let sentMs = 0;
    const seen = await waitFor(
      async () => {
        if (Date.now() - sentMs > 8000) {
          sentMs = Date.now();
          const frame = { id: "0x101", data: "09C407D001000000", ts: `${sentMs}`, dlc: "8" };
          await bus.publish(CAN_STREAM, [JSON.stringify(frame)]);
        }
        const value = await keyValue.find("sensor:dry_bulb_b");
        const ts = await keyValue.find("sensor:dry_bulb_b:ts");
        return value === undefined || ts === undefined ? undefined : { value, old: Date.now() - Number(ts) };
      },
      { timeoutMs: 60_000, what: "a live value" },
    );
    expect(seen.value).toBe("25");
    expect(seen.old).toBeLessThan(60_000);
  } finally {
    await keyValue.close();
    await bus.close();
  }
});
