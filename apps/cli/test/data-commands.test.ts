import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, test } from "@jest/globals";
import { waitFor } from "@sluice/testkit";
import { useCommandLine } from "./use-command-line.ts";

const SAMPLE = resolve(import.meta.dirname, "data/greenhouse-sample.csv");
const { it, sluice, json, addDevice, ofDevice } = useCommandLine();

test("a greenhouse file goes in completely, and again without a duplicate", async () => {
  type Report = { readingsAccepted: number; stored: number; duplicate: number; quarantined: number };
  const first = await json<Report>("import", "greenhouse", SAMPLE);
  expect(first).toMatchObject({
    rowsRead: 8,
    rowsWithReadings: 6,
    readingsAccepted: 23,
    stored: 23,
    duplicate: 0,
    quarantined: 0,
  });
  expect(await json<Report>("import", "greenhouse", SAMPLE)).toMatchObject({
    stored: 0,
    duplicate: 23,
    quarantined: 0,
  });
  const stored = await ofDevice("greenhouse-vochtdeficit-afd-4");
  expect(stored.map(({ time, value }) => [time.toISOString(), value])).toEqual([
    ["2019-10-26T23:00:00.000Z", 13.1],
    ["2019-10-27T00:00:00.000Z", 12.7],
    ["2019-10-27T01:00:00.000Z", 12.6],
    ["2019-10-27T01:47:00.000Z", 0],
    ["2019-10-27T02:00:00.000Z", 12.6],
    ["2019-10-27T03:00:00.000Z", 12.5],
  ]);
  const shown = await json<{ sensors: { field: string; unit: string }[] }>(
    "devices",
    "show",
    "greenhouse-sensor-pmc-21b",
  );
  expect(shown.sensors.map(({ field, unit }) => [field, unit])).toEqual([
    ["air_temperature_avg_1h", "°C"],
    ["vpd_avg_1h", "kPa"],
  ]);
});

test("any CSV goes in by a column map; a value that contradicts is refused and counted, unless it replaces", async () => {
  const file = join(it.dir, "log.csv");
  await writeFile(
    file,
    "\ufeffDatum;Node;Temp (°C);Deur\r\n01-07-2026 12:00;shed 1;21,5;open\r\n01-07-2026 12:05;shed-2;NaN;\r\nlater;shed-2;1;x\r\n",
  );
  const map = ["--map", "time=Datum,device=Node,temperature=Temp (°C),door=Deur"];
  const style = [
    "--delimiter",
    ";",
    "--decimal",
    ",",
    "--time-format",
    "DD-MM-YYYY HH:mm",
    "--time-zone",
    "Europe/Lisbon",
  ];
  const first = await sluice(["import", "csv", file, ...map, ...style, "--json"]);
  expect(JSON.parse(first.stdout)).toMatchObject({
    readingsAccepted: 2,
    stored: 2,
    rowsSkipped: { no_value: 1, bad_time: 1 },
    badRows: [{ line: 4, reason: "bad_time" }],
  });
  expect(first.code).toBe(1);
  expect((await ofDevice("shed-1")).map(({ time, value }) => [time.toISOString(), value])).toEqual([
    ["2026-07-01T11:00:00.000Z", 21.5],
  ]);
  await writeFile(file, "Datum;Node;Temp (°C);Deur\n01-07-2026 12:00;shed 1;22,5;open\n");
  expect(await json("import", "csv", file, ...map, ...style)).toMatchObject({
    stored: 0,
    duplicate: 1,
    quarantined: 1,
    quarantineReasons: { conflicting_duplicate: 1 },
  });
  expect(await json("import", "csv", file, ...map, ...style, "--replace")).toMatchObject({ quarantined: 0 });
  expect((await ofDevice("shed-1")).map(({ value }) => value)).toEqual([22.5]);
});

test("publish tells when the message is acknowledged, and takes no secret on the command line", async () => {
  const env = await addDevice("pub-1");
  const sent = await sluice(["publish", "pub-1", '{"ph": 6.1, "seq": 1}', "--type", "water", "--json"], env);
  expect(JSON.parse(sent.stdout)).toMatchObject({
    topic: "iotflow/devices/pub-1/telemetry/water",
    acknowledged: true,
  });
  await waitFor(async () => (await ofDevice("pub-1")).length === 1);
  const refused = await sluice(["publish", "pub-1", "{}", "--password", "geheim"]);
  expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining("--password-stdin")]);
  const wrong = await sluice(["publish", "pub-1", '{"ph": 6}'], { SLUICE_DEVICE_PASSWORD: "wrong" });
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining("refused the credentials")]);
});

test("a simulation that lives through a killed gateway ends with every message stored once", async () => {
  const ledger = join(it.dir, "acknowledged");
  const args = [
    "simulate",
    "--devices",
    "20",
    "--rate",
    "200",
    "--seconds",
    "6",
    "--ledger",
    ledger,
    "--json",
  ];
  const running = sluice(args);
  await waitFor(async () => (await readFile(ledger, "utf8").catch(() => "")).length > 5000, {
    timeoutMs: 30_000,
  });
  await it.installation.kill("ingest-gateway", "SIGKILL");
  const { code, stdout } = await running;
  const report = JSON.parse(stdout) as { boot: string };
  expect([code, report]).toEqual([
    0,
    expect.objectContaining({ sent: 1200, acknowledged: 1200, unacknowledged: 0 }),
  ]);
  const lines = (await readFile(ledger, "utf8")).trimEnd().split("\n");
  expect(new Set(lines).size).toBe(1200);
  const seen = () =>
    it.db.query<{ device: string; seqs: number }>(
      `SELECT d.device_code AS device, (SELECT sum(upper(r) - lower(r))::int FROM unnest(s.seen) AS r) AS seqs
         FROM device_sequence s JOIN iot.devices d ON d.id = s.device_id WHERE s.boot = $1`,
      [report.boot],
    );
  await waitFor(async () => (await seen()).reduce((sum, { seqs }) => sum + seqs, 0) === 1200, {
    timeoutMs: 20_000,
  });
  const [rows] = await it.db.query<{ count: number }>(
    "SELECT count(*) AS count FROM measurement m JOIN iot.sensors s ON s.id = m.sensor_id WHERE s.sensor_code = 'ec'",
  );
  expect(rows?.count).toBe(1200);
});

test("a replayed file comes in as a live fleet, and repeats nothing that was imported", async () => {
  const file = join(it.dir, "live.csv");
  await writeFile(
    file,
    ",A (1) - Humidity (%) - averages\n2026-08-01 10:00:00,50\n2026-08-01 10:05:00,51\n2026-08-01 10:10:00,52\n",
  );
  await json("import", "greenhouse", file, "--device", "live");
  expect(await json("replay", file, "--speed", "100000", "--device", "live")).toMatchObject({
    sent: 3,
    acknowledged: 3,
    unacknowledged: 0,
  });
  await json("replay", file, "--speed", "100000", "--device", "live", "--now");
  await waitFor(async () => (await ofDevice("live-a-1")).length === 6);
  const ledger = await json<Record<string, { balanced: boolean }>>("ledger");
  expect(Object.values(ledger).every(({ balanced }) => balanced)).toBe(true);
});
