import { afterAll, expect, test } from "@jest/globals";
import type { Entry } from "@sluice/bus";
import { applyTombstone, openDb } from "@sluice/db";
import { createPointWriter, openInflux } from "@sluice/influx";
import { encodeTombstone, streamKey, type Tombstone } from "@sluice/shared-types";
import { useInflux, usePostgres } from "@sluice/testkit";
import { openDeviceDirectory } from "../src/device-tags.ts";
import { openErasures } from "../src/erasures.ts";
import { createFirstValues } from "../src/first-values.ts";
import { createSeriesBudget } from "../src/series-budget.ts";
import { createTagHistory } from "../src/tag-history.ts";
import { createWriteBatch } from "../src/write-batch.ts";
import { message } from "./run-writer.ts";

const server = useInflux({ database: "telemetry" });
const postgres = usePostgres();
const T0 = Date.UTC(2026, 0, 5) * 1000;
const log = { warn() {} };
const opened: { close(): Promise<void> }[] = [];
afterAll(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});
const keep = <T extends { close(): Promise<void> }>(one: T): T => {
  opened.push(one);
  return one;
};

/** What a writer process has, with a memory of its own. */
function openWriter() {
  const { url, username, password } = server;
  const influx = keep(openInflux({ url, version: 1, bucket: "telemetry", username, password }));
  const { handle } = createWriteBatch({
    points: createPointWriter(influx, 5000),
    influxVersion: 1,
    batchSize: 5000,
    directory: keep(openDeviceDirectory(undefined, log)),
    tagHistory: createTagHistory(),
    budget: createSeriesBudget(256),
    firstValues: createFirstValues(1000),
    erasures: keep(openErasures(influx, postgres.url, log)),
    reject: async (rejected) => {
      throw new Error(`nothing is to be refused: ${JSON.stringify(rejected)}`);
    },
  });
  const values = async () => {
    const [left] = await influx.query('SELECT value FROM "temperature" ORDER BY time');
    return left?.rows.map(({ value }) => value);
  };
  return { handle, values };
}

const entry = (ordinal: number, attempts: number, ...messages: string[]): Entry => ({
  id: `1770000000000-${ordinal * 1000 + messages.length}`,
  ordinal,
  attempts,
  messages,
});
const reading = (at: number, value: number, receivedUs = T0 + at) =>
  message("gone1", { temperature: value }, T0 + at, { receivedUs });

test("a tombstone deletes what came before it, and nothing that is delivered late brings points back", async () => {
  const tombstone: Tombstone = { device: "gone1", fromUs: T0, toUs: T0 + 10, publishedUs: T0 + 100 };
  const before = [reading(1, 1), reading(2, 2), reading(20, 20)];
  const first = openWriter();
  await first.handle([entry(1, 1, ...before)]);
  expect(await first.values()).toEqual([1, 2, 20]);
  const outcomes = await first.handle([
    entry(4, 1, reading(3, 3), encodeTombstone(tombstone), reading(2, 22, T0 + 200)),
    entry(7, 1, reading(30, 30)),
  ]);
  expect(outcomes.map(({ stored, quarantined }) => [stored, quarantined])).toEqual([
    [3, 0],
    [1, 0],
  ]);
  expect(await first.values()).toEqual([22, 20, 30]);
  expect(await first.handle([entry(1, 2, ...before)])).toMatchObject([{ stored: 3 }]);
  expect(await first.values()).toEqual([22, 20, 30]);

  const db = keep(await openDb(postgres.url, { max: 1 }));
  const place = { stream: streamKey("telemetry"), ordinal: 5, messageId: "x#1" };
  await applyTombstone(db, { ...tombstone, ...place });
  const later = openWriter();
  await later.handle([entry(1, 2, ...before)]);
  expect(await later.values()).toEqual([22, 20, 30]);
});
