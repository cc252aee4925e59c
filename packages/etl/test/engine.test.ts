import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import {
  type Db,
  findWatermark,
  HOURLY_TABLE,
  listFailedWindows,
  openDb,
  reapRuns,
  takeLease,
} from "@sluice/db";
import {
  applyPlan,
  defineJob,
  type Engine,
  type Job,
  parseToken,
  planRuns,
  runBackfill,
  runLatest,
  runRange,
  runWindow,
} from "@sluice/etl";
import { usePostgres, waitFor } from "@sluice/testkit";
import { loadOutputs } from "../src/jobs/load.ts";
import { createQuietEngine } from "./quiet-engine.ts";

const HOUR_MS = 3_600_000;
const NOW_MS = Date.UTC(2026, 1, 11, 14, 30);
const postgres = usePostgres();
let db: Db;
beforeAll(async () => {
  db = await openDb(postgres.url, { max: 8 });
});
afterAll(() => db?.close());
beforeEach(() =>
  db.execute(
    "TRUNCATE bi.hourly_sensor_agg, processing_jobs, etl_lease, etl_failed_window, core.system_config",
  ),
);

const engineOf = (given: Partial<Engine> = {}): Engine => createQuietEngine(db, NOW_MS, given);

/** A job that says of every hour which one it is. */
function createJob(options: Partial<Job<{ fromMs: number; toMs: number }>> = {}): Job {
  return defineJob<{ fromMs: number; toMs: number }>({
    name: "test",
    jobType: "aggregation",
    schedule: { everyMs: HOUR_MS },
    timeoutMs: 5000,
    watermarkKey: "etl_test_watermark",
    stepMs: HOUR_MS,
    windowMs: HOUR_MS,
    overlapMs: 0,
    lookbackMs: 3 * HOUR_MS,
    extract: async (_context, window) => window,
    transform: ({ fromMs }) => [
      {
        table: HOURLY_TABLE,
        rows: [
          {
            sensor_id: 1,
            hour_start: new Date(fromMs).toISOString(),
            zone_id: null,
            avg_value: new Date(fromMs).getUTCHours(),
            min_value: null,
            max_value: null,
            stddev_value: null,
            reading_count: 1,
          },
        ],
      },
    ],
    load: loadOutputs,
    ...options,
  });
}

const stored = async () =>
  (
    await db.query<{ h: number }>("SELECT avg_value::int AS h FROM bi.hourly_sensor_agg ORDER BY hour_start")
  ).map(({ h }) => h);
const failAt = (hour: number, on = { fail: true }) =>
  createJob({
    extract: async (_context, window) => {
      if (on.fail && new Date(window.fromMs).getUTCHours() === hour) throw new Error("cannot");
      return window;
    },
  });

describe("engine", () => {
  test("a window that failed stays due: the watermark stops before it, later windows are done, the next run mends it", async () => {
    const on = { fail: true };
    const job = failAt(12, on);
    expect(await runLatest(engineOf(), job)).toMatchObject({ windows: 3, failed: [{ error: "cannot" }] });
    expect(await stored()).toEqual([11, 13]);
    expect(await findWatermark(db, job.watermarkKey)).toBe(NOW_MS - 2.5 * HOUR_MS);
    on.fail = false;
    await runLatest(engineOf({ now: () => NOW_MS + 5 * HOUR_MS }), job);
    expect(await stored()).toEqual([11, 12, 13, 14, 15, 16, 17, 18]);
    expect(await listFailedWindows(db, job.name)).toEqual([]);
  });

  test("a window that failed in a backfill is done by the next latest run", async () => {
    const on = { fail: true };
    const job = failAt(3, on);
    await runLatest(engineOf(), job);
    expect(await runBackfill(engineOf(), job, 1)).toMatchObject({ failed: [{}, {}] });
    on.fail = false;
    await runLatest(engineOf(), job);
    expect(await stored()).toHaveLength(38);
    expect(await listFailedWindows(db, job.name)).toEqual([]);
  });

  test("every run leaves a row with how long it took; an attempt is repeated before it fails", async () => {
    let attempts = 0;
    const job = createJob({
      extract: async (_context, window) => {
        if (++attempts < 3) throw new Error("not yet");
        return window;
      },
    });
    await runWindow(engineOf(), job, { fromMs: NOW_MS - HOUR_MS, toMs: NOW_MS });
    const [row] = await db.query<{ duration_seconds: number }>("SELECT * FROM processing_jobs");
    expect(row).toMatchObject({
      job_name: "test",
      status: "completed",
      processed_items: 1,
      progress_percentage: "100.00",
      result_summary: { rows: 1, changed: 1 },
      triggered_by: "manual",
    });
    expect(row?.duration_seconds).toBeGreaterThan(0);
  });

  test("a run that hangs is given up at its time-out, and cannot store anything afterwards", async () => {
    let go: () => void = () => {};
    const job = createJob({
      timeoutMs: 200,
      extract: (_context, window) =>
        new Promise((resolve) => {
          go = () => resolve(window);
        }),
    });
    const outcome = await runWindow(engineOf({ attempts: 1 }), job, { fromMs: 0, toMs: HOUR_MS });
    expect(outcome).toMatchObject({ status: "failed", error: { message: "took longer than 200 ms" } });
    go();
    await delay(100); // whatever it still does has had its chance
    expect(await stored()).toEqual([]);
  });

  test("two runs never work on the same stretch of a job, and different stretches do not wait", async () => {
    const window = { fromMs: 0, toMs: HOUR_MS };
    const lease = {
      runId: "00000000-0000-4000-8000-000000000001",
      job: "test",
      holder: "other",
      ttlMs: 60_000,
    };
    expect(await takeLease(db, { ...lease, ...window })).toBe(true);
    expect(await runWindow(engineOf(), createJob(), window)).toEqual({ status: "busy" });
    const next = { fromMs: HOUR_MS, toMs: 2 * HOUR_MS };
    expect(await runWindow(engineOf(), createJob(), next)).toMatchObject({ status: "completed" });
  });

  test("a run whose lease was taken over stores nothing", async () => {
    const job = createJob({
      extract: async (_context, window) => {
        await db.execute("DELETE FROM etl_lease");
        return window;
      },
    });
    const outcome = await runWindow(engineOf(), job, { fromMs: 0, toMs: HOUR_MS });
    expect(outcome).toMatchObject({ status: "failed", error: { name: "LeaseLostError" } });
    expect(await stored()).toEqual([]);
  });

  test("runs at the same time leave what one run leaves", async () => {
    const job = createJob();
    const range = { fromMs: NOW_MS - 24.5 * HOUR_MS, toMs: NOW_MS - 0.5 * HOUR_MS };
    await Promise.all([
      runRange(engineOf({ patienceMs: 10_000 }), job, range),
      runRange(engineOf({ patienceMs: 10_000 }), job, range),
      runLatest(engineOf({ patienceMs: 10_000 }), job),
    ]);
    expect(await stored()).toHaveLength(24);
    expect(await db.query("SELECT FROM processing_jobs WHERE status <> 'completed'")).toEqual([]);
  });

  test("a dry run changes nothing and shows old and new values; its token applies exactly that, or nothing", async () => {
    const job = createJob();
    const runs = [{ job, range: { fromMs: NOW_MS - 2.5 * HOUR_MS, toMs: NOW_MS - 0.5 * HOUR_MS } }];
    await runRange(engineOf(), job, { fromMs: NOW_MS - 2.5 * HOUR_MS, toMs: NOW_MS - 1.5 * HOUR_MS });
    await db.execute("UPDATE bi.hourly_sensor_agg SET avg_value = 99");
    const { signal } = new AbortController();
    const plan = await planRuns(db, runs, signal);
    expect(await stored()).toEqual([99]);
    expect(plan.changes).toMatchObject([
      { table: "bi.hourly_sensor_agg", old: { avg_value: 99 }, new: { avg_value: 12 } },
      { table: "bi.hourly_sensor_agg", old: null, new: { avg_value: 13 } },
    ]);
    await db.execute("UPDATE bi.hourly_sensor_agg SET avg_value = 98");
    const parsed = parseToken(plan.token, [job]);
    expect(parsed).toEqual(runs);
    await expect(applyPlan(db, parsed ?? [], plan.token, signal)).rejects.toThrow(/not what was shown/);
    expect(await stored()).toEqual([98]);
    await db.execute("UPDATE bi.hourly_sensor_agg SET avg_value = 99");
    await applyPlan(db, runs, plan.token, signal);
    expect(await stored()).toEqual([12, 13]);
  });

  test("a backfill that is killed goes on where it was, and its run is reaped", async () => {
    const program = fileURLToPath(new URL("./slow-backfill.ts", import.meta.url));
    const child = spawn(process.execPath, ["--conditions=source", "--import", "tsx", program, postgres.url], {
      env: { ...process.env, NODE_OPTIONS: "" },
      stdio: "inherit",
    });
    await waitFor(async () => (await stored()).length >= 4, { what: "some windows", timeoutMs: 20_000 });
    child.kill("SIGKILL");
    await once(child, "exit");
    const before = (await stored()).length; // also a window whose end is not in the run log yet
    const [cut] = await db.query<{ n: number }>(
      "SELECT count(*) AS n FROM processing_jobs WHERE status = 'running'",
    );
    const engine = engineOf({ patienceMs: 20_000 });
    const result = await runBackfill(engine, createJob(), 1);
    expect(await stored()).toHaveLength(38);
    expect(result.windows).toBe(38 - before);
    await db.execute("UPDATE processing_jobs SET started_at = started_at - INTERVAL '1 minute'");
    expect(await reapRuns(db)).toBe(cut?.n);
    expect(
      await db.query("SELECT FROM processing_jobs WHERE status = 'running' OR duration_seconds IS NULL"),
    ).toEqual([]);
  });
});
