// A backfill slow enough to be killed while it runs: the database's url is its argument.
import { setTimeout as delay } from "node:timers/promises";
import { HOURLY_TABLE, openDb } from "@sluice/db";
import { createEngine, defineJob, runBackfill } from "@sluice/etl";
import { loadOutputs } from "../src/jobs/load.ts";

const HOUR_MS = 3_600_000;
const NOW_MS = Date.UTC(2026, 1, 11, 14, 30);
const silent = { debug() {}, info() {}, warn() {}, error() {} };

const job = defineJob<number>({
  name: "test",
  jobType: "aggregation",
  schedule: { everyMs: HOUR_MS },
  timeoutMs: 5000,
  watermarkKey: "etl_test_watermark",
  stepMs: HOUR_MS,
  windowMs: HOUR_MS,
  overlapMs: 0,
  lookbackMs: HOUR_MS,
  extract: async (_context, { fromMs }) => {
    await delay(150);
    return fromMs;
  },
  transform: (fromMs) => [
    {
      table: HOURLY_TABLE,
      rows: [
        {
          sensor_id: 1,
          hour_start: new Date(fromMs).toISOString(),
          zone_id: null,
          avg_value: 1,
          min_value: null,
          max_value: null,
          stddev_value: null,
          reading_count: 1,
        },
      ],
    },
  ],
  load: loadOutputs,
});

const db = await openDb(process.argv[2] ?? "");
const engine = createEngine({
  db,
  log: silent,
  holder: "killed",
  trigger: "manual",
  now: () => NOW_MS,
  leaseMs: 2000,
});
await runBackfill(engine, job, 1);
await db.close();
