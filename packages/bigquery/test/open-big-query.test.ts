import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type BigQueryServer, startBigQuery } from "@sluice/testkit";
import { openBigQuery, SourceError } from "../src/index.ts";

const source = { projectId: "water", dataset: "water_infrastructure", table: "sensor_readings_ml" };
let server: BigQueryServer;
beforeAll(async () => {
  server = await startBigQuery("water.water_infrastructure.sensor_readings_ml", [
    ["2024-01-01T00:30:00Z", "DIST_1", "District 1", 10.5, 4.1, 12, 100, 0.9],
    ["2024-01-01T00:00:00Z", "DIST_1", "District 1", 10, 4, null, 99, null],
    ["2024-01-02T00:00:00Z", "DIST_2", null, 3, null, null, null, null],
  ]);
});
afterAll(() => server?.stop());

const open = (given: object = {}) =>
  openBigQuery({ ...source, endpoint: server.url, keyFilename: server.credentialsPath, ...given });

test("reads a range in order of time, page by page", async () => {
  const rows = [];
  const range = { fromMs: Date.UTC(2024, 0, 1), toMs: Date.UTC(2024, 0, 2) };
  for await (const row of (await open()).read(range, 1)) rows.push(row);
  expect(rows).toEqual([
    {
      timeUs: Date.UTC(2024, 0, 1) * 1000,
      node: "DIST_1",
      name: "District 1",
      values: { flow_rate: 10, pressure: 4, volume: 99 },
    },
    {
      timeUs: Date.UTC(2024, 0, 1, 0, 30) * 1000,
      node: "DIST_1",
      name: "District 1",
      values: { flow_rate: 10.5, pressure: 4.1, temperature: 12, volume: 100, quality_score: 0.9 },
    },
  ]);
  expect(server.requests.filter((line) => line.startsWith("GET")).length).toBe(2);
});

test("says what the table holds", async () => {
  expect(await (await open()).check()).toEqual({
    rows: 3,
    nodes: 2,
    first: "2024-01-01T00:00:00.000Z",
    last: "2024-01-02T00:00:00.000Z",
  });
});

test("a table that is not there, and a name that is none, are errors that waiting does not mend", async () => {
  await expect((await open({ table: "other" })).check()).rejects.toThrow(SourceError);
  await expect(open({ table: "x` UNION" })).rejects.toThrow(/not the name of a table/);
});
