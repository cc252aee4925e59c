import { execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Db, openDb } from "@sluice/db";
import { type Installation, startInstallation, waitFor } from "@sluice/testkit";

const ROOT = resolve(import.meta.dirname, "../../..");
const SAMPLE = resolve(import.meta.dirname, "data/greenhouse-sample.csv");

let installation: Installation;
let db: Db;
let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice cli-"));
  installation = await startInstallation({ services: ["ingest-gateway", "stream-worker"] });
  db = await openDb(installation.urls().postgresUrl, { max: 2 });
});
afterAll(async () => {
  await db?.close();
  await installation?.stop();
  await rm(dir, { recursive: true, force: true });
});

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

function sluice(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  return new Promise((done) => {
    execFile(
      join(ROOT, "sluice"),
      [...args, "--data-dir", installation.dataDir],
      { cwd: dir, env: { ...process.env, ...env }, maxBuffer: 1 << 26 },
      (error, stdout, stderr) =>
        done({ code: typeof error?.code === "number" ? error.code : error ? -1 : 0, stdout, stderr }),
    );
  });
}

async function json<T>(...args: string[]): Promise<T> {
  const { stdout, stderr, code } = await sluice([...args, "--json"]);
  if (stdout === "") throw new Error(`sluice ${args.join(" ")} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as T;
}

async function addDevice(id: string): Promise<Record<string, string>> {
  const { password } = await json<{ password: string }>("devices", "add", id);
  return { SLUICE_DEVICE_PASSWORD: password };
}

const ofDevice = (id: string) =>
  db.query<{ field: string; time: Date; value: number }>(
    `SELECT s.sensor_code AS field, m.time, m.value FROM measurement m JOIN iot.sensors s ON s.id = m.sensor_id
       JOIN iot.devices d ON d.id = s.device_id WHERE d.device_code = $1 ORDER BY m.time, s.sensor_code`,
    [id],
  );

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
  const file = join(dir, "log.csv");
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

test("files that are none end with 1 and name the file; wrong flags end with 2 and name the range", async () => {
  for (const path of [dir, join(dir, "absent.csv"), "/dev/zero", process.execPath]) {
    const { code, stderr } = await sluice(["import", "greenhouse", path]);
    expect([code, stderr]).toEqual([1, expect.stringContaining(path)]);
  }
  for (const rate of ["0", "-1", "abc", "1e9", ""]) {
    const { code, stderr } = await sluice(["simulate", "--rate", rate]);
    expect([code, stderr]).toEqual([2, expect.stringContaining("from 0.01 to 100000")]);
  }
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

test("a device is let in while it is enabled and its secrets are good, and not once it is removed", async () => {
  const old = await addDevice("life-1");
  const publishes = async (env: Record<string, string>) =>
    (await sluice(["publish", "life-1", '{"a": 1}'], env)).code === 0;
  const becomes = (env: Record<string, string>, wanted: boolean) =>
    waitFor(async () => (await publishes(env)) === wanted, { timeoutMs: 15_000 });
  await becomes(old, true);
  await json("devices", "disable", "life-1");
  await becomes(old, false);
  await json("devices", "enable", "life-1");
  await becomes(old, true);
  const kept = await json<{ password: string }>("devices", "rotate", "life-1");
  await becomes({ SLUICE_DEVICE_PASSWORD: kept.password }, true);
  expect(await publishes(old)).toBe(true);
  const fresh = await json<{ password: string }>("devices", "rotate", "life-1", "--overlap", "0");
  await becomes({ SLUICE_DEVICE_PASSWORD: fresh.password }, true);
  await becomes({ SLUICE_DEVICE_PASSWORD: kept.password }, false);
  await json("devices", "remove", "life-1");
  await becomes({ SLUICE_DEVICE_PASSWORD: fresh.password }, false);
  const { code, stderr } = await sluice(["devices", "show", "life-1"]);
  expect([code, stderr]).toEqual([1, "sluice: no device 'life-1'\n"]);
});

test("a simulation that lives through a killed gateway ends with every message stored once", async () => {
  const ledger = join(dir, "acknowledged");
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
  await installation.kill("ingest-gateway", "SIGKILL");
  const { code, stdout } = await running;
  const report = JSON.parse(stdout) as { boot: string };
  expect([code, report]).toEqual([
    0,
    expect.objectContaining({ sent: 1200, acknowledged: 1200, unacknowledged: 0 }),
  ]);
  const lines = (await readFile(ledger, "utf8")).trimEnd().split("\n");
  expect(new Set(lines).size).toBe(1200);
  const seen = () =>
    db.query<{ device: string; seqs: number }>(
      `SELECT d.device_code AS device, (SELECT sum(upper(r) - lower(r))::int FROM unnest(s.seen) AS r) AS seqs
         FROM device_sequence s JOIN iot.devices d ON d.id = s.device_id WHERE s.boot = $1`,
      [report.boot],
    );
  await waitFor(async () => (await seen()).reduce((sum, { seqs }) => sum + seqs, 0) === 1200, {
    timeoutMs: 20_000,
  });
  const [rows] = await db.query<{ count: number }>(
    "SELECT count(*) AS count FROM measurement m JOIN iot.sensors s ON s.id = m.sensor_id WHERE s.sensor_code = 'ec'",
  );
  expect(rows?.count).toBe(1200);
});

test("a replayed file comes in as a live fleet, and repeats nothing that was imported", async () => {
  const file = join(dir, "live.csv");
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

test("what was refused is fixed and replayed once, under its first identity", async () => {
  const env = await addDevice("bad-1");
  await sluice(["publish", "bad-1", '{"temperature": 2', "--raw"], env);
  await sluice(["publish", "bad-1", '{"temperature": 20, "seq": 1, "boot": "b"}'], env);
  await sluice(["publish", "bad-1", '{"temperature": "hot", "humidity": 40, "seq": 2, "boot": "b"}'], env);
  type Row = { id: number; reason: string; receivedAt: string };
  const list = () => json<Row[]>("quarantine", "list", "--device", "bad-1");
  await waitFor(async () => (await list()).length === 2, { timeoutMs: 20_000, intervalMs: 500 });
  const rows = await list();
  const broken = rows.find(({ reason }) => reason === "not_json");
  const conflict = rows.find(({ reason }) => reason === "type_conflict");
  expect((await sluice(["quarantine", "fix", String(broken?.id), "--payload", "{"])).code).toBe(1);
  await json("quarantine", "fix", String(broken?.id), "--payload", '{"temperature": 22}');
  const fixed = '{"temperature": 24, "humidity": 40, "seq": 2, "boot": "b"}';
  await json("quarantine", "fix", String(conflict?.id), "--payload", fixed);
  const replay = () => json<{ replayed: number[] }>("quarantine", "replay", "--device", "bad-1");
  expect(
    (await json<{ replayed: number[] }>("quarantine", "replay", "--device", "bad-1", "--dry-run")).replayed,
  ).toHaveLength(2);
  expect((await replay()).replayed).toHaveLength(2);
  expect((await replay()).replayed).toEqual([]);
  // as if it had been killed between publishing and marking
  await db.query("UPDATE quarantine SET status = 'fixed' WHERE device = 'bad-1'");
  expect((await replay()).replayed).toHaveLength(2);
  await waitFor(
    async () => {
      const ledger = await json<Record<string, { pending: number; unread: number }>>("ledger");
      return ledger.postgres?.pending === 0 && ledger.postgres.unread === 0;
    },
    { timeoutMs: 20_000, intervalMs: 300 },
  );
  const values = (await ofDevice("bad-1")).filter(({ field }) => field === "temperature");
  expect(values.map(({ value }) => value).sort()).toEqual([20, 22, 24]);
  expect(values.find(({ value }) => value === 22)?.time.toISOString()).toBe(broken?.receivedAt);
  expect(await list()).toEqual([]);
});

test("tail shows what is accepted, and ends without a word on Ctrl-C and when its reader is gone", async () => {
  const env = await addDevice("tail-1");
  const start = (...more: string[]) =>
    spawn(
      join(ROOT, "sluice"),
      ["tail", "--device", "tail-1", "--json", ...more, "--data-dir", installation.dataDir],
      { cwd: dir },
    );
  const tail = start();
  let out = "";
  let err = "";
  tail.stdout.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  tail.stderr.on("data", (chunk: Buffer) => {
    err += chunk.toString();
  });
  const ended = new Promise<number | null>((done) => tail.once("exit", done));
  let n = 0;
  await waitFor(
    async () => {
      await sluice(["publish", "tail-1", `{"n": ${n++}}`], env);
      return out !== "";
    },
    { timeoutMs: 30_000 },
  );
  expect(JSON.parse(out.split("\n")[0] ?? "")).toMatchObject({
    device: "tail-1",
    readings: { n: expect.any(Number) },
  });
  tail.kill("SIGINT");
  expect([await ended, err.replaceAll(/^(Building|Waiting).*\n/gm, "")]).toEqual([130, ""]);

  const piped = start();
  const pipedEnd = new Promise<number | null>((done) => piped.once("exit", done));
  piped.stdout.once("data", () => piped.stdout.destroy());
  let over = false;
  void pipedEnd.then(() => {
    over = true;
  });
  await waitFor(
    async () => {
      await sluice(["publish", "tail-1", `{"n": ${n++}}`], env);
      return over;
    },
    { timeoutMs: 30_000 },
  );
  expect(await pipedEnd).toBe(0);
});

test("lag gives the server's own numbers, and its check fails from the warning on", async () => {
  // Idle: stopped in a transaction it would hold locks that making the fleet has to wait for.
  type Balance = Record<string, { unread: number; pending: number }>;
  await waitFor(
    async () => Object.values(await json<Balance>("ledger")).every((one) => one.unread + one.pending === 0),
    { timeoutMs: 30_000 },
  );
  await installation.kill("stream-worker", "SIGSTOP");
  await json("simulate", "--devices", "2", "--rate", "100", "--seconds", "1");
  type Group = { group: string; unread: number; pending: number };
  const report = await json<{ streams: { stream: string; groups: Group[] }[] }>("lag");
  const group = report.streams
    .find(({ stream }) => stream === "sluice:telemetry:{0}")
    ?.groups.find((g) => g.group === "postgres");
  expect((group?.unread ?? 0) + (group?.pending ?? 0)).toBeGreaterThanOrEqual(90);
  expect((await sluice(["lag", "--check", "--warn", "1"])).code).toBe(group?.unread === 0 ? 0 : 1);
  await installation.kill("stream-worker", "SIGCONT");
  await waitFor(async () => (await sluice(["lag", "--check", "--warn", "1"])).code === 0, {
    timeoutMs: 30_000,
  });
});
