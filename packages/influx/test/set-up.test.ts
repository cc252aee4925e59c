import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, expect, test } from "@jest/globals";
import { openInflux, setUpInflux } from "@sluice/influx";
import { useInflux, waitFor } from "@sluice/testkit";

const server = useInflux();
const HOUR_US = 3_600_000_000;

test("1.x gets aggregate databases, continuous queries that run, and a user; a second time nothing", async () => {
  const { url, username, password } = server;
  const options = { url, version: 1, bucket: "hydroponics", username, password } as const;
  const administrator = openInflux(options);
  const hourUs = Math.floor(Date.now() / 3_600_000 - 1) * HOUR_US;
  const lines = [1, 2, 6].map(
    (v, i) => `sensor_reading,sensor_id=a1,source=http_api t=${v},note="x" ${hourUs + i * 1e6}`,
  );
  await administrator.write(lines); // makes the database
  await administrator.close();
  const first = await setUpInflux(options, { token: true });
  expect(first.made).toEqual([
    "database hydroponics_hourly",
    "continuous query sluice_sensor_hourly",
    "database hydroponics_daily",
    "continuous query sluice_sensor_daily",
    "user sluice",
  ]);
  expect(await setUpInflux(options, { token: true })).toEqual({ made: [], credentials: {} });
  const { INFLUXDB_PASSWORD = "" } = first.credentials;
  const influx = openInflux({ ...options, username: "sluice", password: INFLUXDB_PASSWORD });
  try {
    const row = await waitFor(
      async () => {
        const [series] = await influx.query("SELECT * FROM sensor_hourly", "hydroponics_hourly");
        return series?.rows.find((row) => row.time === hourUs);
      },
      { what: "the continuous query's row", timeoutMs: 30_000 },
    );
    expect(row).toMatchObject({ count_t: 3, mean_t: 3, min_t: 1, max_t: 6, sensor_id: "a1" });
    expect(row.stddev_t).toBeCloseTo(Math.sqrt(7), 12);
  } finally {
    await influx.close();
  }
});

test("a bucket that is missing has no series, for an administrator", async () => {
  const { url, username, password } = server;
  const influx = openInflux({ url, version: 1, bucket: "hydroponics", username, password });
  expect(await influx.query("SELECT * FROM sensor_hourly", "no_such_bucket")).toEqual([]);
  await influx.close();
});

/** The part of the management API of 2.x that setting up uses, from its documentation: no such server runs here. */
function serveVersion2(): { server: Server; calls: string[] } {
  const calls: string[] = [];
  const kept: Record<string, Record<string, unknown>[]> = {
    orgs: [],
    buckets: [],
    tasks: [],
    authorizations: [],
    dbrps: [],
  };
  const made = createServer((request, response) => {
    void text(request).then((body) => {
      const path = new URL(request.url ?? "", "http://x");
      const kind = path.pathname.replace("/api/v2/", "");
      const say = (value: object) => response.end(JSON.stringify(value));
      calls.push(`${request.method} ${path.pathname} ${request.headers.authorization ?? "-"}`);
      if (kind === "setup" && request.method === "GET") return say({ allowed: kept.orgs?.length === 0 });
      if (kind === "setup") {
        const wanted = JSON.parse(body);
        kept.orgs?.push({ id: "o1", name: wanted.org });
        kept.buckets?.push({ id: "b1", name: wanted.bucket });
        return say({ auth: { token: "operator" } });
      }
      const list = kept[kind] ?? [];
      if (request.method === "GET") {
        const name = path.searchParams.get("name") ?? path.searchParams.get("db");
        const found = list.filter((it) => name === null || it.name === name || it.database === name);
        return say(kind === "dbrps" ? { content: found } : { [kind]: found });
      }
      const item = JSON.parse(body);
      const flux = /name: "([^"]+)"/.exec(String(item.flux ?? ""))?.[1];
      list.push({ ...item, id: `${kind}${list.length + 1}`, token: "fresh", ...(flux && { name: flux }) });
      return say(list.at(-1) ?? {});
    });
  });
  return { server: made, calls };
}

const version2 = serveVersion2();
afterAll(() => void version2.server.close());

test("2.x (a server that answers as documented) is set up once: organisation, buckets, tasks and one token", async () => {
  await new Promise<void>((resolve) => version2.server.listen(0, "127.0.0.1", resolve));
  const { port } = version2.server.address() as AddressInfo;
  const options = {
    url: `http://127.0.0.1:${port}`,
    version: 2,
    bucket: "telemetry",
    org: "iotflow",
  } as const;
  const first = await setUpInflux(options, { token: true });
  expect(first.made).toEqual([
    "administrator admin",
    "organisation iotflow",
    "bucket telemetry",
    "bucket telemetry_hourly",
    "bucket telemetry_daily",
    "task sluice_sensor_hourly",
    "task sluice_sensor_daily",
    'token "sluice telemetry"',
  ]);
  expect(first.credentials).toMatchObject({ INFLUXDB_ADMIN_TOKEN: "operator", INFLUXDB_TOKEN: "fresh" });
  expect(version2.calls).toContain("POST /api/v2/tasks Token operator");
  const again = await setUpInflux({ ...options, token: "operator" }, { token: true });
  expect(again).toEqual({ made: [], credentials: {} });
});
