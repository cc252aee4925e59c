import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Db, openDb } from "@sluice/db";
import { usePostgres } from "@sluice/testkit";

const postgres = usePostgres();
let db: Db;
beforeAll(async () => {
  db = await openDb(postgres.url, { max: 2 });
  await db.execute(
    "INSERT INTO iot.devices (device_code) VALUES ('can-node-1'), ('can-node-4'), ('can-node-9'), ('other')",
  );
  await db.execute(
    `INSERT INTO iot.sensors (device_id, sensor_code, value_type, calibration_offset)
     SELECT id, 'dry_bulb_b', 'number', 0.5 FROM iot.devices WHERE device_code = 'can-node-1'`,
  );
  await db.execute(
    `INSERT INTO measurement (time, sensor_id, value)
     SELECT at, s.id, 20.123456789 FROM iot.sensors s, unnest(ARRAY['2026-01-27T10:00:01Z', '2026-01-27T10:00:02Z']::timestamptz[]) AS at`,
  );
});
afterAll(() => db?.close());

/** As the document has it for monitor_can_db.sh. */
const MONITORING =
  "SELECT m.time, s.name as sensor_name, r.name as room_name, d.name as device_name, m.value, m.status FROM measurement m JOIN sensor s ON m.sensor_id = s.sensor_id JOIN device d ON s.device_id = d.device_id JOIN room r ON d.room_id = r.room_id ORDER BY m.time DESC LIMIT 10";

test("TRAP: the document's monitoring query runs unchanged: device.room_id is there", async () => {
  const rows = await db.query<{ room_name: string; sensor_name: string; time: Date; value: number }>(
    MONITORING,
  );
  expect(rows).toHaveLength(2);
  expect(rows[0]).toMatchObject({ room_name: "Flower Room", sensor_name: "dry_bulb_b", status: "ok" });
  expect(rows[0]?.time).toEqual(new Date("2026-01-27T10:00:02Z"));
});

test("TRAP: a device without a rack has its room, one in a rack has the rack's", async () => {
  await db.execute("INSERT INTO rack (room_id, name) SELECT room_id, 'R1' FROM room WHERE name = 'Lab'");
  const [row] = await db.query<{ room_id: number }>(
    `INSERT INTO device (name, type, rack_id) SELECT 'Racked 1', 'esp32', rack_id FROM rack RETURNING device_id, room_id`,
  );
  expect(row).toMatchObject({ device_id: expect.any(Number) });
  expect(
    await db.query("SELECT r.name FROM device d JOIN room r USING (room_id) WHERE d.name = 'Racked 1'"),
  ).toEqual([{ name: "Lab" }]);
});

test("TRAP: an unknown CAN node gets no place", async () => {
  expect(
    await db.query(
      "SELECT device_code AS code, r.name AS room FROM iot.devices d LEFT JOIN core.rooms r ON r.id = d.room_id WHERE device_code LIKE 'can%' ORDER BY 1",
    ),
  ).toEqual([
    { code: "can-node-1", room: "Flower Room" },
    { code: "can-node-4", room: "Lab" },
    { code: "can-node-9", room: null },
  ]);
});

test("TRAP: values keep more than seven digits, and the calibration offset is added when read", async () => {
  expect(await db.query("SELECT DISTINCT value FROM measurement")).toEqual([{ value: 20.123456789 }]);
  expect(await db.query("SELECT DISTINCT value, raw_value FROM measurement_calibrated")).toEqual([
    { value: 20.623456789, raw_value: 20.123456789 },
  ]);
});

test("TRAP: actuator_events has a key that a hypertable allows", async () => {
  const rows = await db.query<{ column: string }>(
    `SELECT a.attname AS "column" FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
      WHERE i.indrelid = 'actuator_events'::regclass AND i.indisprimary ORDER BY 1`,
  );
  expect(rows.map(({ column }) => column)).toEqual(["event_id", "time"]);
  await db.execute(
    "INSERT INTO actuator_events (device_id, action, value) SELECT device_id, 'fan', 1 FROM device LIMIT 1",
  );
});

test("TRAP: hourly and daily figures group by their bucket, and a day is no average of averages", async () => {
  await db.execute(
    `INSERT INTO rollup_1d (sensor_id, bucket, day, n, sum, mean, m2, min, max, ended, held_seconds, definition)
     SELECT sensor_id, '2026-01-27Z', '2026-01-27', 3, 63, 21, 0, 20, 23, false, 1, 1 FROM sensor WHERE name = 'dry_bulb_b'`,
  );
  expect(
    await db.query("SELECT min_value, max_value, avg_value, sample_count FROM measurement_daily"),
  ).toEqual([{ min_value: 20.5, max_value: 23.5, avg_value: 21.5, sample_count: 3 }]);
  expect(await db.query("SELECT * FROM measurement_hourly")).toEqual([]);
});

test("every table of the document takes rows under its own columns", async () => {
  await db.execute("INSERT INTO facility (name) VALUES ('North')");
  await db.execute(
    "INSERT INTO zone (facility_id, name) SELECT facility_id, 'Z1' FROM facility WHERE name = 'North'",
  );
  await db.execute(
    "INSERT INTO room (zone_id, name, target_vpd, target_temp) SELECT zone_id, 'Clone Room', 0.8, 24 FROM zone WHERE name = 'Z1'",
  );
  await db.execute(
    "INSERT INTO device (name, type, room_id) SELECT 'Pi 1', 'pi', room_id FROM room WHERE name = 'Clone Room'",
  );
  await db.execute(
    "INSERT INTO sensor (device_id, name, unit, data_type, channel) SELECT device_id, 'co2_c', 'ppm', 'float', 1 FROM device WHERE name = 'Pi 1'",
  );
  await db.execute("UPDATE sensor SET calibration_offset = -3 WHERE name = 'co2_c'");
  await db.execute("UPDATE device SET ip_address = '10.0.0.7' WHERE name = 'Pi 1'");
  await db.execute(
    "INSERT INTO setpoints (room_id, variable, target) SELECT room_id, 'vpd', 1.1 FROM room WHERE name = 'Clone Room'",
  );
  await db.execute(
    "INSERT INTO crop_batch (crop_name, start_date, room_id) SELECT 'Basil', '2026-01-01', room_id FROM room WHERE name = 'Clone Room'",
  );
  expect(
    await db.query(
      `SELECT f.name AS facility, z.name AS zone, d.ip_address, s.unit, s.calibration_offset, p.target, c.crop_name
         FROM sensor s JOIN device d USING (device_id) JOIN room r USING (room_id) JOIN zone z USING (zone_id)
         JOIN facility f ON f.facility_id = z.facility_id JOIN setpoints p ON p.room_id = r.room_id
         JOIN crop_batch c ON c.room_id = r.room_id`,
    ),
  ).toEqual([
    {
      facility: "North",
      zone: "Z1",
      ip_address: "10.0.0.7",
      unit: "ppm",
      calibration_offset: -3,
      target: 1.1,
      crop_name: "Basil",
    },
  ]);
});
