import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { type Db, findWatermark, openDb, putWaterNodes } from "@sluice/db";
import { afterRollups, createWaterJob, type Engine, runBackfill, runLatest } from "@sluice/etl";
import { usePostgres } from "@sluice/testkit";
import { createQuietEngine } from "./quiet-engine.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const TODAY_MS = Date.UTC(2026, 1, 11);
const NOW_MS = TODAY_MS + 14.5 * HOUR_MS;

const postgres = usePostgres();
let db: Db;
beforeAll(async () => {
  db = await openDb(postgres.url, { max: 8 });
});
afterAll(() => db?.close());

const sensors = new Map<string, number>();
beforeEach(async () => {
  sensors.clear();
  await db.execute(`TRUNCATE measurement, rollup_watermark, rollup_dirty, rollup_5m, rollup_1h, rollup_1d, bi.due,
    processing_jobs, etl_lease, etl_failed_window, core.system_config, core.zones, iot.devices,
    water_infrastructure.nodes, water_infrastructure.computed_metrics, water_infrastructure.network_efficiency,
    water_infrastructure.data_quality_metrics, water_infrastructure.anomalies CASCADE`);
  await putWaterNodes(db, [
    { node: "SOURCE", type: "source", zone: "north" },
    { node: "DIST_1", type: "distribution", zone: "north", upstream: "SOURCE" },
  ]);
});

const engineAt = (nowMs: number): Engine => createQuietEngine(db, nowMs);

const cycle = async (nowMs = NOW_MS) =>
  runLatest(await afterRollups(engineAt(nowMs)), createWaterJob({ readers: db, parallelNodes: 3 }));
const backfill = async (days: number, nowMs = NOW_MS) =>
  runBackfill(await afterRollups(engineAt(nowMs)), createWaterJob(), days);

async function sensor(node: string, field: string): Promise<number> {
  const key = `${node}/${field}`;
  const known = sensors.get(key);
  if (known !== undefined) return known;
  const [row] = await db.query<{ id: number }>(
    `INSERT INTO iot.sensors (device_id, sensor_code, value_type)
     SELECT id, $2, 'number' FROM iot.devices WHERE device_code = $1 RETURNING id`,
    [node, field],
  );
  sensors.set(key, row?.id ?? 0);
  return row?.id ?? 0;
}

interface Stretch {
  fromMs: number;
  toMs: number;
  everyMs: number;
}

/** Readings of a field of a node. */
async function send(
  node: string,
  field: string,
  { fromMs, toMs, everyMs }: Stretch,
  valueAt: (i: number) => number | null,
): Promise<void> {
  const id = await sensor(node, field);
  const count = Math.ceil((toMs - fromMs) / everyMs);
  const times = Array.from({ length: count }, (_, i) => new Date(fromMs + i * everyMs));
  await db.transaction(async (tx) => {
    await tx.query("SELECT pg_advisory_xact_lock_shared(rollup_lock())");
    await tx.execute(
      `INSERT INTO measurement (sensor_id, time, value, status)
       SELECT $1, t, v, CASE WHEN v IS NULL THEN 'error' ELSE 'ok' END FROM unnest($2::timestamptz[], $3::float8[]) n (t, v)`,
      [id, times, times.map((_, i) => valueAt(i))],
    );
    await tx.query("SELECT mark_rollup_rebuild($1, $2, $3)", [id, new Date(fromMs), new Date(toMs)]);
  });
}

const minutely = (fromMs: number, toMs: number, everyMs = MINUTE_MS): Stretch => ({ fromMs, toMs, everyMs });
const atHour = (hour: number) => TODAY_MS + hour * HOUR_MS;

// biome-ignore lint/suspicious/noExplicitAny: rows of every shape
const rows = (sql: string, params: unknown[] = []): Promise<any[]> => db.query(sql, params);
const hoursOf = (node: string) =>
  rows(
    `SELECT window_start AS start, avg_flow_rate::float8 AS flow, total_volume::float8 AS volume, reading_count AS n,
            flow_variance::float8 AS variance, pressure_variance::float8 AS pvariance, anomaly_count AS anomalies,
            data_completeness::float8 AS completeness, quality_score::float8 AS quality
       FROM water_infrastructure.computed_metrics WHERE node_id = $1 AND time_window = '1hour' ORDER BY window_start`,
    [node],
  );
const snapshot = () =>
  rows(`SELECT (SELECT jsonb_agg(m ORDER BY node_id, time_window, window_start) FROM water_infrastructure.computed_metrics m) AS metrics,
               (SELECT jsonb_agg(e ORDER BY time_window, window_start) FROM water_infrastructure.network_efficiency e) AS efficiency,
               (SELECT jsonb_agg(q ORDER BY node_id, check_timestamp, time_window) FROM water_infrastructure.data_quality_metrics q) AS quality,
               (SELECT jsonb_agg(a ORDER BY node_id, measurement_type, timestamp) FROM water_infrastructure.anomalies a) AS anomalies`);

describe("the processing cycle", () => {
  test("TRAP: all three windows are right, and the second does not depend on the first", async () => {
    await send("DIST_1", "flow_rate", minutely(TODAY_MS - DAY_MS, NOW_MS), (i) => 10 + (i % 2));
    await backfill(2);
    const counts = await rows(
      `SELECT time_window AS w, count(*)::int AS n, min(avg_flow_rate)::float8 AS low, max(avg_flow_rate)::float8 AS high
         FROM water_infrastructure.computed_metrics GROUP BY 1 ORDER BY 1`,
    );
    expect(counts).toEqual([
      { w: "1day", n: 1, low: 10.5, high: 10.5 },
      { w: "1hour", n: 38, low: 10.5, high: 10.5 },
      { w: "5min", n: 461, low: 10.4, high: 10.6 },
    ]);
  });

  test("TRAP: volume does not depend on how often a node sends", async () => {
    await send("SOURCE", "flow_rate", minutely(atHour(12), atHour(14), 20 * MINUTE_MS), () => 20);
    await send("DIST_1", "flow_rate", minutely(atHour(12), atHour(14)), () => 20);
    await cycle();
    for (const node of ["SOURCE", "DIST_1"])
      expect((await hoursOf(node)).map(({ volume }) => volume)).toEqual([72, 72]);
  });

  test("TRAP: a counter of volume is not summed", async () => {
    await send("DIST_1", "volume", minutely(atHour(12), atHour(14)), (i) => 5000 + i * 0.6);
    await cycle();
    const [first, second] = await hoursOf("DIST_1");
    expect(first.volume).toBeCloseTo(35.4, 3);
    expect(second.volume).toBeCloseTo(36, 3);
  });

  test("TRAP: running it again changes nothing, neither by cycle nor by backfill, and no row is there twice", async () => {
    await send(
      "SOURCE",
      "flow_rate",
      minutely(TODAY_MS - DAY_MS, NOW_MS, 10 * MINUTE_MS),
      (i) => 50 + (i % 7) + (i === 100 ? 60 : 0),
    );
    await send(
      "SOURCE",
      "pressure",
      minutely(TODAY_MS - DAY_MS, NOW_MS, 10 * MINUTE_MS),
      (i) => 4 + Math.sin(i) / 3,
    );
    for (let at = TODAY_MS - 2 * HOUR_MS; at <= NOW_MS; at += 30 * MINUTE_MS) await cycle(at);
    const before = await snapshot();
    expect(before[0].anomalies.length).toBeGreaterThan(0);
    const from = new Date(TODAY_MS - 2 * HOUR_MS).toISOString();
    expect(await cycle()).toMatchObject({ windows: 0, changed: 0, failed: [] });
    await backfill(1);
    await backfill(1);
    const after = await snapshot();
    for (const table of ["metrics", "efficiency", "quality", "anomalies"]) {
      const since = (list: { window_start?: string; timestamp?: string; check_timestamp?: string }[]) =>
        list.filter((row) => (row.window_start ?? row.timestamp ?? row.check_timestamp ?? "") >= from);
      expect(since(after[0][table])).toEqual(expect.arrayContaining(since(before[0][table])));
    }
    const again = await snapshot();
    await backfill(1);
    expect(await snapshot()).toEqual(again);
  });

  test("TRAP: variances above 100 and deviations above 1000 % are stored as they are", async () => {
    await send("DIST_1", "pressure", minutely(atHour(13), atHour(14)), (i) => (i % 2 ? 900 : 1));
    await send("DIST_1", "flow_rate", minutely(atHour(13), atHour(14)), (i) =>
      i === 50 ? 90_000 : 1 + (i % 3) * 0.01,
    );
    expect(await cycle()).toMatchObject({ failed: [] });
    const [hour] = await hoursOf("DIST_1");
    expect(hour.pvariance).toBeGreaterThan(100_000);
    const [worst] = await rows(
      "SELECT max(deviation_percentage)::float8 AS most FROM water_infrastructure.anomalies WHERE measurement_type = 'flow_rate'",
    );
    expect(worst.most).toBeGreaterThan(1000);
  });

  test("TRAP: completeness is of the node's own interval, and never above 100 %", async () => {
    await send("SOURCE", "flow_rate", minutely(TODAY_MS - DAY_MS, atHour(13), 30 * MINUTE_MS), () => 9);
    await send("DIST_1", "flow_rate", minutely(TODAY_MS - DAY_MS, atHour(12)), () => 9);
    await send("DIST_1", "flow_rate", minutely(atHour(12), atHour(13), 2 * MINUTE_MS), () => 9);
    await backfill(2);
    expect((await hoursOf("SOURCE")).map(({ completeness }) => completeness)).toEqual(Array(37).fill(100));
    expect((await hoursOf("DIST_1")).slice(-2).map(({ completeness }) => completeness)).toEqual([100, 50]);
    const [{ over }] = await rows(
      "SELECT count(*)::int AS over FROM water_infrastructure.computed_metrics WHERE data_completeness > 100",
    );
    expect(over).toBe(0);
  });

  test("TRAP: the watermark is the end of what was computed, not of the longest window, and new data is not skipped", async () => {
    await send("DIST_1", "flow_rate", minutely(atHour(10), atHour(14)), () => 5);
    await cycle(atHour(14) + MINUTE_MS);
    expect(await findWatermark(db, "etl_water_watermark")).toBe(atHour(14));
    await send("DIST_1", "flow_rate", minutely(atHour(14), atHour(14.5)), () => 5);
    await cycle(atHour(14.5) + MINUTE_MS);
    const [row] = await rows(
      "SELECT max(window_end) AS latest FROM water_infrastructure.computed_metrics WHERE time_window = '5min'",
    );
    expect(row.latest.getTime()).toBe(atHour(14.5));
  });

  test("TRAP: late data changes the windows that it belongs to, and deleted data takes them away", async () => {
    await send("DIST_1", "flow_rate", minutely(TODAY_MS - DAY_MS, atHour(14)), () => 5);
    await backfill(2);
    await cycle();
    const lateMs = TODAY_MS - 20 * HOUR_MS + 30_000;
    await send("DIST_1", "flow_rate", minutely(lateMs, lateMs + HOUR_MS), () => 105);
    await cycle(NOW_MS + 5 * MINUTE_MS);
    const [day] = await rows(
      "SELECT total_volume::float8 AS volume FROM water_infrastructure.computed_metrics WHERE node_id = 'DIST_1' AND time_window = '1day'",
    );
    expect(day.volume).toBeCloseTo(432 + 180, 0);
    const id = await sensor("DIST_1", "flow_rate");
    await db.execute("DELETE FROM measurement WHERE sensor_id = $1 AND time < $2", [id, new Date(TODAY_MS)]);
    await rows("SELECT mark_rollup_rebuild($1, $2, $3)", [
      id,
      new Date(TODAY_MS - DAY_MS),
      new Date(TODAY_MS),
    ]);
    await cycle(NOW_MS + 10 * MINUTE_MS);
    expect(
      await rows("SELECT FROM water_infrastructure.computed_metrics WHERE window_start < $1", [
        new Date(TODAY_MS),
      ]),
    ).toEqual([]);
    expect((await hoursOf("DIST_1")).length).toBe(14);
  });

  test("late data changes what the readings of the day after it are judged by, as a backfill would", async () => {
    const spike = (i: number) => (i === 150 ? 14 : 10 + (i % 2) / 10);
    await send("DIST_1", "flow_rate", minutely(atHour(10), NOW_MS), spike);
    await cycle();
    const found = () =>
      rows("SELECT timestamp, severity FROM water_infrastructure.anomalies ORDER BY timestamp");
    const before = await found();
    expect(before.length).toBeGreaterThan(0);
    await send("DIST_1", "flow_rate", minutely(atHour(-9), atHour(-7)), (i) => (i % 2) * 20);
    await cycle();
    const after = await snapshot();
    expect(await found()).not.toEqual(before);
    await backfill(2);
    expect(await snapshot()).toEqual(after);
  });

  test("TRAP: missing data is missing: no figures are made up, and its quality says so", async () => {
    await send("DIST_1", "flow_rate", minutely(atHour(10), atHour(12)), () => 5);
    await cycle();
    expect((await hoursOf("DIST_1")).map(({ start }) => start.getTime())).toEqual([atHour(10), atHour(11)]);
    const quality = await rows(
      `SELECT check_timestamp AS at, completeness_score::float8 AS completeness, overall_quality_score::float8 AS overall,
              missing_data_points AS missing, quality_issues AS issues
         FROM water_infrastructure.data_quality_metrics WHERE node_id = 'DIST_1' AND time_window = '1hour' ORDER BY 1`,
    );
    expect(quality.map(({ completeness, missing }) => [completeness, missing])).toEqual([
      [1, 0],
      [1, 0],
      [0, 60],
      [0, 60],
    ]);
    expect(quality[2]).toMatchObject({
      overall: 0,
      issues: [{ type: "missing_data", severity: "critical" }],
    });
  });

  test("TRAP: quality is computed: errors, values out of range and a counter that falls count", async () => {
    await send("DIST_1", "flow_rate", minutely(atHour(13), atHour(14)), (i) => (i < 6 ? null : 5));
    await send("DIST_1", "temperature", minutely(atHour(13), atHour(14)), (i) => (i === 10 ? 500 : 15));
    await send("DIST_1", "volume", minutely(atHour(13), atHour(14)), (i) => (i === 30 ? 100 : 1000 + i));
    await cycle();
    const [quality] = await rows(
      `SELECT validity_score::float8 AS validity, consistency_score::float8 AS consistency, invalid_values AS invalid,
              quality_issues AS issues FROM water_infrastructure.data_quality_metrics WHERE time_window = '1hour'`,
    );
    expect(quality.invalid).toBe(7);
    expect(quality.validity).toBeCloseTo(1 - 7 / 180, 3);
    expect(quality.consistency).toBeCloseTo(1 - 1 / 171, 3);
    expect(quality.issues.map(({ type }: { type: string }) => type)).toEqual([
      "invalid_values",
      "counter_fell",
    ]);
  });

  test("TRAP: nodes that nobody registered are computed too", async () => {
    await db.execute("INSERT INTO iot.devices (device_code) VALUES ('DIST_8')");
    await send("DIST_8", "flow_rate", minutely(atHour(12), atHour(14)), () => 3);
    await cycle();
    expect(await hoursOf("DIST_8")).toHaveLength(2);
    expect(await rows("SELECT node_type FROM water_infrastructure.nodes WHERE node_id = 'DIST_8'")).toEqual([
      { node_type: "unknown" },
    ]);
  });

  test("TRAP: a mean outside its least and greatest is refused", async () => {
    await expect(
      db.execute(
        `INSERT INTO water_infrastructure.computed_metrics (node_id, time_window, window_start, window_end, avg_pressure, min_pressure, max_pressure)
         VALUES ('x', '1hour', now(), now() + INTERVAL '1 hour', 3.12, 3.70, 4)`,
      ),
    ).rejects.toThrow(/check/);
  });

  test("TRAP: runs have a duration, their summary is JSON, and one that hangs is ended", async () => {
    await send("DIST_1", "flow_rate", minutely(atHour(12), atHour(14)), () => 3);
    await cycle();
    const [run] = await rows("SELECT * FROM water_infrastructure.processing_jobs");
    expect(run).toMatchObject({ job_type: "water_processing", status: "completed", triggered_by: "manual" });
    expect(run.duration_seconds).toBeGreaterThan(0);
    expect(run.result_summary).toMatchObject({ rows: expect.any(Number), changed: expect.any(Number) });
    await db.execute(
      `INSERT INTO processing_jobs (job_type, job_name, status, started_at) VALUES ('water_processing', 'water', 'running', now() - INTERVAL '1 hour')`,
    );
    await cycle(NOW_MS + MINUTE_MS);
    expect(await rows("SELECT FROM water_infrastructure.processing_jobs WHERE status = 'running'")).toEqual(
      [],
    );
  });

  test("TRAP: a cycle that is asked for twice at once is done once", async () => {
    await send("DIST_1", "flow_rate", minutely(atHour(12), atHour(14)), () => 3);
    const results = await Promise.all([cycle(), cycle()]);
    expect(results.flatMap(({ failed }) => failed)).toEqual([]);
    const [{ n }] = await rows(
      "SELECT count(*)::int AS n FROM water_infrastructure.computed_metrics WHERE time_window = '1hour'",
    );
    expect(n).toBe(2);
    expect(results.reduce((sum, { changed }) => sum + changed, 0)).toBe(
      Math.max(...results.map(({ changed }) => changed)),
    );
  });
});

describe("anomalies and the network", () => {
  test("spikes, jumps and pressure limits are anomalies with the table's severities, one a minute", async () => {
    const stretch = minutely(atHour(10), atHour(14), 30_000);
    await send("DIST_1", "flow_rate", stretch, (i) => 20 + (i % 5) * 0.2 + (i === 300 ? 80 : 0));
    await send("DIST_1", "pressure", stretch, (i) => 4 + (i % 3) * 0.05 - (i === 400 || i === 401 ? 3.2 : 0));
    await cycle();
    const found = await rows(
      `SELECT timestamp AS at, measurement_type AS measure, anomaly_type AS type, severity, actual_value::float8 AS actual
         FROM water_infrastructure.anomalies WHERE severity <> 'info' ORDER BY timestamp`,
    );
    expect(found).toEqual([
      {
        at: new Date(atHour(12.5)),
        measure: "flow_rate",
        type: "z_score",
        severity: "critical",
        actual: 100,
      },
      {
        at: new Date(atHour(13) + 20 * MINUTE_MS),
        measure: "pressure",
        type: "z_score",
        severity: "critical",
        actual: 0.85,
      },
      {
        at: new Date(atHour(13) + 21 * MINUTE_MS),
        measure: "pressure",
        type: "rate_of_change",
        severity: "warning",
        actual: 4,
      },
    ]);
    const [hour] = (await hoursOf("DIST_1")).slice(-1);
    expect(hour.anomalies).toBe(2);
  });

  test("what somebody confirmed stays when the hour is computed again", async () => {
    await send("DIST_1", "pressure", minutely(atHour(13), atHour(14)), (i) => (i === 30 ? 1 : 4));
    await cycle();
    await db.execute("UPDATE water_infrastructure.anomalies SET is_confirmed = true");
    await db.execute("UPDATE measurement SET value = 4");
    await backfill(1);
    expect(await rows("SELECT DISTINCT is_confirmed FROM water_infrastructure.anomalies")).toEqual([
      { is_confirmed: true },
    ]);
  });

  test("efficiency is output by input per zone, a pair that loses more than a tenth hints at a leak, once per window", async () => {
    await putWaterNodes(db, [{ node: "TANK", type: "tank", zone: "north" }]);
    await send("SOURCE", "flow_rate", minutely(atHour(12), atHour(14)), () => 100);
    await send("DIST_1", "flow_rate", minutely(atHour(12), atHour(14)), (i) => (i < 60 ? 95 : 80));
    await send("TANK", "flow_rate", minutely(atHour(12), atHour(14)), () => 7);
    await cycle();
    await backfill(1);
    const hours = await rows(
      `SELECT efficiency_percentage::float8 AS efficiency, total_loss_volume::float8 AS loss, zone_metrics AS zones,
              leak_hints AS leaks, active_nodes AS active, network_availability::float8 AS availability
         FROM water_infrastructure.network_efficiency WHERE time_window = '1hour' ORDER BY window_start`,
    );
    expect(hours).toHaveLength(2);
    expect(hours[0]).toMatchObject({ efficiency: 95, loss: 18, leaks: [], active: 3, availability: 100 });
    expect(hours[1]).toMatchObject({
      efficiency: 80,
      zones: { north: { input: 360, output: 288, loss: 72, efficiency: 80, leak: true } },
      leaks: [{ zone: "north", from: "SOURCE", to: ["DIST_1"], loss_percentage: 20 }],
    });
  });

  test("a node that is silent is no leak", async () => {
    await send("SOURCE", "flow_rate", minutely(atHour(12), atHour(14)), () => 100);
    await send("DIST_1", "flow_rate", minutely(atHour(12), atHour(13.3)), () => 95);
    await cycle();
    const leaks = await rows("SELECT leak_hints AS hints FROM water_infrastructure.network_efficiency");
    expect(leaks.flatMap(({ hints }) => hints)).toEqual([]);
  });
});

test("TRAP: the key of anomalies holds their time, so that they can be a hypertable", async () => {
  const [{ key }] = await rows(
    `SELECT pg_get_constraintdef(oid) AS key FROM pg_constraint
      WHERE conrelid = 'water_infrastructure.anomalies'::regclass AND contype = 'p'`,
  );
  expect(key).toContain("timestamp");
});

test("TRAP: a run that fails says why and how long it took, and its window is done the next time", async () => {
  await send("DIST_1", "flow_rate", minutely(atHour(12), atHour(14)), () => 3);
  await db.execute(
    "ALTER TABLE water_infrastructure.computed_metrics ADD CONSTRAINT refuse CHECK (avg_flow_rate < 0) NOT VALID",
  );
  const { failed } = await cycle();
  await db.execute("ALTER TABLE water_infrastructure.computed_metrics DROP CONSTRAINT refuse");
  expect(failed).toHaveLength(1);
  const [run] = await rows(
    "SELECT * FROM water_infrastructure.processing_jobs WHERE status = 'failed' ORDER BY created_at DESC LIMIT 1",
  );
  expect(run).toMatchObject({ error_message: expect.stringContaining("refuse"), failed_items: 1 });
  expect(run.duration_seconds).toBeGreaterThan(0);
  expect((await cycle(NOW_MS + 5 * MINUTE_MS)).failed).toEqual([]);
  expect(await hoursOf("DIST_1")).toHaveLength(2);
});

test("the document's monitoring statements run as they are written there, on tables", async () => {
  await send("DIST_1", "flow_rate", minutely(atHour(12), atHour(14)), () => 3);
  await cycle();
  const jobs = await rows(`SELECT 
  job_id,
  job_type,
  status,
  started_at,
  completed_at,
  duration_seconds,
  result_summary
FROM water_infrastructure.processing_jobs
WHERE created_at > NOW() - INTERVAL '24 hours'
ORDER BY created_at DESC;`);
  expect(jobs.length).toBeGreaterThan(0);
  const lag = await rows(`SELECT 
  node_id,
  MAX(window_end) as latest_data,
  NOW() - MAX(window_end) as data_lag
FROM water_infrastructure.computed_metrics
GROUP BY node_id
HAVING NOW() - MAX(window_end) > INTERVAL '1 hour';`);
  expect(lag.map(({ node_id }) => node_id)).toEqual(["DIST_1"]);
  const sizes = await rows(`SELECT 
  schemaname,
  tablename,
  pg_size_pretty(pg_total_relation_size(schemaname||'.'||tablename)) AS size
FROM pg_tables 
WHERE schemaname = 'water_infrastructure'
ORDER BY pg_total_relation_size(schemaname||'.'||tablename) DESC;`);
  expect(sizes.map(({ tablename }) => tablename)).toEqual(
    expect.arrayContaining([
      "computed_metrics",
      "ml_predictions_cache",
      "processing_jobs",
      "nodes",
      "anomalies",
    ]),
  );
  expect(
    await rows("SELECT * FROM water_infrastructure.sensor_readings ORDER BY timestamp LIMIT 1"),
  ).toMatchObject([{ node_id: "DIST_1", flow_rate: 3, is_interpolated: false }]);
});
