import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "@jest/globals";
import { openInflux } from "@sluice/influx";
import { useInflux } from "@sluice/testkit";

const server = useInflux();
const program = fileURLToPath(new URL("../src/main.ts", import.meta.url));

/** `sluice influx init` against a server, as its administrator. */
function init(url: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const line = ["--conditions=source", "--import", "tsx", program, "influx", "init", ...args];
  const env = {
    PATH: process.env.PATH,
    INFLUXDB_URL: url,
    INFLUXDB_VERSION: "1",
    INFLUXDB_USERNAME: server.username,
    INFLUXDB_PASSWORD: server.password,
  };
  return new Promise((resolve) => {
    execFile(process.execPath, line, { env }, (error, out, err) => {
      resolve({ code: error ? Number(error.code ?? 1) : 0, out, err });
    });
  });
}

test("influx init waits, makes databases, continuous queries and a user, writes sample data, and again nothing", async () => {
  const first = await init(server.url, "--sample-data", "--retention-days", "30", "--json");
  expect(first.code).toBe(0);
  const { made, credentials, samplePoints } = JSON.parse(first.out);
  expect(made).toHaveLength(6);
  expect(samplePoints).toBe(864);
  const access = { username: credentials.INFLUXDB_USERNAME, password: credentials.INFLUXDB_PASSWORD };
  const influx = openInflux({ url: server.url, version: 1, bucket: "telemetry", ...access });
  expect(await influx.query("SELECT count(value) FROM temperature")).toMatchObject([
    { rows: [{ count: 288 }] },
  ]);
  expect(await influx.query("SHOW RETENTION POLICIES")).toMatchObject([{ rows: [{ duration: "720h0m0s" }] }]);
  await influx.close();
  expect((await init(server.url)).out).toBe("everything was there already\n");
  const nowhere = await init("http://127.0.0.1:1", "--wait", "0");
  expect([nowhere.code, nowhere.err]).toEqual([1, expect.stringContaining("influx cannot be reached")]);
});
