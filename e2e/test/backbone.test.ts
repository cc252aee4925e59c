import { execFile, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { type Db, openDb } from "@sluice/db";
import { type Installation, startInstallation, waitFor } from "@sluice/testkit";

const run = promisify(execFile);
let sluice: Installation;
let db: Db;

beforeAll(async () => {
  sluice = await startInstallation();
  db = await openDb(sluice.urls().postgresUrl);
});

afterAll(async () => {
  await db?.close();
  await sluice?.stop();
});

/** The `mosquitto_pub` line as printed, run by a shell as a person would paste it. */
const printedLine = async () => (await sluice.printed(/^mosquitto_pub .*(?=\n)/m))[0];

async function influxCount(device: string): Promise<number> {
  const { influx } = sluice.urls();
  if (!influx) throw new Error("no InfluxDB");
  const query = new URL("/query", influx.url);
  query.searchParams.set("db", influx.bucket);
  query.searchParams.set("q", `SELECT * FROM /.*/ WHERE device_id = '${device}'`);
  const headers = { authorization: `Basic ${btoa(`${influx.username}:${influx.password}`)}` };
  const answer = (await (await fetch(query, { headers })).json()) as {
    results: { series?: { values: unknown[][] }[] }[];
  };
  return (answer.results[0]?.series ?? []).reduce((sum, series) => sum + series.values.length, 0);
}

const rowsOf = async (device: string) =>
  (
    await db.query<{ n: number }>(
      `select count(*) as n from measurement m join iot.sensors s on s.id = m.sensor_id
       join iot.devices d on d.id = s.device_id where d.device_code = $1`,
      [device],
    )
  )[0]?.n ?? 0;

describe("npm start", () => {
  test("the printed line puts a reading into tail, measurement and InfluxDB within a second", async () => {
    const tail = spawn("./sluice", ["tail", "--json", "--data-dir", sluice.dataDir], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const seen: string[] = [];
    createInterface({ input: tail.stdout }).on("line", (line) => seen.push(line));
    try {
      // a first line tells that tail is listening; the second is timed
      const publish = async () => run("sh", ["-c", await printedLine()]);
      // the first lines tell that tail is listening; the one after is timed
      await waitFor(() => publish().then(() => seen.length > 0), { intervalMs: 300, what: "tail" });
      const [rows, points, lines] = [await rowsOf("esp32_001"), await influxCount("esp32_001"), seen.length];
      await publish();
      await waitFor(
        async () =>
          (await rowsOf("esp32_001")) > rows &&
          (await influxCount("esp32_001")) > points &&
          seen.length > lines,
        { timeoutMs: 1000, what: "the reading in all three places" },
      );
    } finally {
      tail.kill("SIGINT");
    }
  });

  test("a second start on the same folder says so and ends", async () => {
    const second = await run("./sluice", ["up", "--data-dir", sluice.dataDir, "--no-tty", "--yes"]).catch(
      (error) => error,
    );
    expect(second.code).toBeGreaterThan(0);
    expect(`${second.stdout}${second.stderr}`).toMatch(/already run/i);
    expect((await sluice.status())?.ready).toBe(true);
  });

  test("a device added on the command line may publish at once, and only as itself", async () => {
    const device = JSON.parse(
      await sluice.sluice("devices", "add", "greenhouse-7", "--type", "environmental", "--json"),
    );
    expect(Object.keys(device).sort()).toEqual(["apiKey", "id", "password", "username"]);
    const { hostname, port } = new URL((await sluice.status())?.mqttUrl ?? "");
    const publish = (id: string) =>
      run("mosquitto_pub", [
        "-h",
        hostname,
        "-p",
        port,
        "-u",
        device.username,
        "-P",
        device.password,
        "-q",
        "1",
        "-t",
        `iotflow/devices/${id}/telemetry/environmental`,
        "-m",
        '{"temperature": 20.5, "humidity": 60}',
      ]).catch(() => {});
    await publish("greenhouse-7");
    await publish("esp32_001");
    await waitFor(async () => (await rowsOf("greenhouse-7")) === 2, { what: "two readings" });
    await waitFor(
      async () => (await db.query("select 1 from quarantine where reason = 'not_authorised'")).length > 0,
      { what: "the refused message in quarantine" },
    );
  });

  test("an HTTP post with the key is stored; without it is refused", async () => {
    const { apiKey } = JSON.parse(await sluice.sluice("devices", "add", "http-1", "--json"));
    const { httpUrl } = (await sluice.status()) ?? {};
    const post = (headers: Record<string, string>) =>
      fetch(new URL("/api/v1/devices/telemetry", httpUrl), {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify({
          data: { temperature: 24.5, humidity: 60, battery_level: 85 },
          type: "environmental",
          metadata: { location: "sensor_room_1" },
        }),
      });
    expect((await post({})).status).toBe(401);
    expect((await post({ "x-api-key": apiKey })).status).toBe(201);
    await waitFor(async () => (await rowsOf("http-1")) === 3, { what: "three readings" });
  });

  test("simulate reports every message acknowledged and the ledger balances", async () => {
    const report = JSON.parse(
      await sluice.sluice(
        "simulate",
        "--devices",
        "20",
        "--rate",
        "200",
        "--seconds",
        "3",
        "--profile",
        "hydroponics",
        "--json",
      ),
    );
    expect(report.acknowledged).toBe(report.sent);
    expect(report.sent).toBeGreaterThan(300);
    const ledger = await waitFor(async () => {
      const now = JSON.parse(await sluice.sluice("ledger", "--json")) as Record<
        string,
        Record<string, number>
      >;
      return now.postgres?.pending === 0 && now.postgres.unread === 0 ? now : undefined;
    });
    expect(ledger.postgres).toMatchObject({ balanced: true });
    expect(ledger.influx).toMatchObject({ balanced: true });
  });
});

describe("Ctrl-C and start again", () => {
  test("nothing is left running, and the next start has the data", async () => {
    const before = await rowsOf("esp32_001");
    const status = await sluice.status();
    const pids = [...(status?.services ?? []), ...(status?.servers ?? [])].map(({ pid }) => pid);
    await db.close();
    const { dataDir } = sluice;
    sluice.supervisor.kill("SIGINT");
    await waitFor(() => sluice.supervisor.exitCode !== null, {
      timeoutMs: 30_000,
      what: "the end of sluice up",
    });
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow();
    sluice = await startInstallation({ dataDir });
    db = await openDb(sluice.urls().postgresUrl);
    expect(await rowsOf("esp32_001")).toBe(before);
  });
});
