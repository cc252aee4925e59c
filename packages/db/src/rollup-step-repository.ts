import { rollBucketsForward } from "./forward-rollup.ts";
import type { Db, Queries, Transaction } from "./open-db.ts";
import { joinRanges, type RollupRange } from "./rollup-ranges.ts";
import { ROLLUP_LOCK } from "./rollup-repository.ts";
import { neighbour, REPAIR_1D, REPAIR_1H, REPAIR_5M, ROLLUP_DEFINITION } from "./rollup-statements.ts";

const BUCKET_MS = 300_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** Held by whoever writes rollup rows, so that steps of several processes come one after the other. */
const STEP_LOCK = 5_177_043;
const STEP_LIMITS = { lockTimeoutMs: 60_000, statementTimeoutMs: 170_000 };
/** Longest stretch of one sensor, and of all together, that one step repairs: keeps its transaction short. */
const REPAIR_RANGE_MS = 7 * DAY_MS;
const REPAIR_STEP_MS = 2500 * HOUR_MS;
const REPAIR_MARKS = 3000;

/** Days of a zone that have an instant in [fromMs, toMs). */
export type Calendar = (
  fromMs: number,
  toMs: number,
  zone: string,
) => { date: string; fromMs: number; toMs: number }[];

/** How far the rollups are. */
export interface RollupProgress {
  /** Readings older than this are marked by their writers. Undefined before the first run, as `doneMs`. */
  markMs: number | undefined;
  /** All buckets that end at or before this are rolled up, but for what is marked. */
  doneMs: number | undefined;
  /** Marks not yet worked off. */
  dirty: number;
}

/** Reads how far the rollups are. */
export async function findRollupProgress(db: Queries): Promise<RollupProgress> {
  const [row] = await db.query<{ mark: Date | null; done: Date | null; dirty: number }>(
    `SELECT (SELECT watermark FROM public.rollup_watermark WHERE name = 'mark') AS mark,
            (SELECT watermark FROM public.rollup_watermark WHERE name = 'done') AS done,
            (SELECT count(*) FROM public.rollup_dirty) AS dirty`,
  );
  return { markMs: row?.mark?.getTime(), doneMs: row?.done?.getTime(), dirty: row?.dirty ?? 0 };
}

/**
 * From here on writers mark what is older than the last 5-minute boundary at or before `toMs`. Never moves back.
 * Waits for the writers that are under way. The first call, and the first of a new definition, marks everything.
 */
export async function moveRollupMark(db: Db, toMs: number): Promise<void> {
  const mark = new Date(Math.floor(toMs / BUCKET_MS) * BUCKET_MS);
  await db.transaction(
    async (tx) => {
      await tx.query("SELECT pg_advisory_xact_lock($1)", [ROLLUP_LOCK]);
      await tx.execute(
        "UPDATE public.rollup_watermark SET watermark = $1, updated_at = now() WHERE name = 'mark' AND watermark < $1",
        [mark],
      );
      const begun = await tx.execute(
        "INSERT INTO public.rollup_watermark (name, watermark) VALUES ('mark', $1), ('done', $1) ON CONFLICT DO NOTHING",
        [mark],
      );
      const redefined = await tx.execute(
        `INSERT INTO core.system_config AS c (key, value, description)
         VALUES ('rollup_definition', to_jsonb($1::int), 'Version that the rollups are computed by')
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = now() WHERE c.value <> excluded.value`,
        [ROLLUP_DEFINITION],
      );
      if (begun > 0 || redefined > 0) await markEverything(tx);
    },
    { lockTimeoutMs: 10_000 },
  );
}

const markEverything = (tx: Transaction) =>
  tx.execute(
    `INSERT INTO public.rollup_dirty (sensor_id, from_time, to_time, rebuild)
     SELECT id, '-infinity', NULL, true FROM iot.sensors s
      CROSS JOIN LATERAL (SELECT FROM public.measurement m WHERE m.sensor_id = s.id LIMIT 1) any_reading`,
  );

/** What one step did. */
export interface RollupStep {
  /** 5-minute rows written. */
  rows: number;
  /** There is more to do at once. */
  more: boolean;
}

/**
 * Rolls up the next stretch, at most `maxWindowMs` long and with at most `piece` readings in memory, between what is
 * done and the mark, with the hours and days that are over by then. One transaction: after a failure nothing of it is there.
 */
export async function rollForward(
  db: Db,
  calendar: Calendar,
  options: { maxWindowMs?: number; piece?: number } = {},
): Promise<RollupStep> {
  return db.transaction(async (tx) => {
    await beginStep(tx);
    const { markMs, doneMs } = await findRollupProgress(tx);
    if (markMs === undefined || doneMs === undefined || doneMs >= markMs) return { rows: 0, more: false };
    const toMs = Math.min(markMs, doneMs + (options.maxWindowMs ?? HOUR_MS));
    const rows = await rollBucketsForward(tx, { fromMs: doneMs, toMs }, options.piece);
    const hourMs = Math.floor(doneMs / HOUR_MS) * HOUR_MS;
    if (toMs >= hourMs + HOUR_MS) await rollHours(tx, await everySensor(tx, hourMs, toMs), toMs);
    await rollDays(tx, await everySensor(tx, doneMs, toMs), calendar, { fromMs: doneMs, toMs });
    await tx.execute(
      "UPDATE public.rollup_watermark SET watermark = $1, updated_at = now() WHERE name = 'done'",
      [new Date(toMs)],
    );
    return { rows, more: toMs < markMs };
  }, STEP_LIMITS);
}

/**
 * Works off marks: rolls up what they touch anew, from the readings, and takes them away, in one transaction. Marks
 * made meanwhile stay.
 */
export async function repairRollups(db: Db, calendar: Calendar): Promise<RollupStep> {
  return db.transaction(async (tx) => {
    await beginStep(tx);
    const { doneMs } = await findRollupProgress(tx);
    if (doneMs === undefined) return { rows: 0, more: false };
    const { ranges, taken } = await takeMarks(tx, doneMs);
    let rows = 0;
    if (ranges.length > 0) {
      // the late ones first: a rebuild would find their readings and not count them
      for (const rebuild of [false, true]) {
        const kind = ranges.filter((range) => range.rebuild === rebuild);
        if (kind.length > 0) rows += await tx.execute(REPAIR_5M, parameters(kind));
      }
      await rollHours(tx, ranges, doneMs);
      await rollDays(tx, ranges, calendar, { fromMs: Number.NEGATIVE_INFINITY, toMs: doneMs });
    }
    return { rows, more: taken > 0 };
  }, STEP_LIMITS);
}

/** Compiling the statements, or sharing them out, would cost more than running them over a window. */
async function beginStep(tx: Transaction): Promise<void> {
  await tx.query(
    `SELECT pg_advisory_xact_lock($1), set_config('jit', 'off', true), set_config('work_mem', '64MB', true),
            set_config('max_parallel_workers_per_gather', '0', true)`,
    [STEP_LOCK],
  );
}

async function everySensor(tx: Queries, fromMs: number, toMs: number): Promise<RollupRange[]> {
  const sensors = await tx.query<{ id: number }>(
    "SELECT id FROM iot.sensors WHERE value_type IS DISTINCT FROM 'text' ORDER BY id",
  );
  return sensors.map(({ id }) => ({ sensorId: id, fromMs, toMs, rebuild: true }));
}

const parameters = (ranges: readonly RollupRange[]) => [
  ranges.map(({ sensorId }) => sensorId),
  ranges.map(({ fromMs }) => new Date(fromMs)),
  ranges.map(({ toMs }) => new Date(toMs)),
  ranges.map(({ rebuild }) => rebuild),
];

const rollHours = (tx: Queries, ranges: readonly RollupRange[], doneMs: number) =>
  tx.execute(REPAIR_1H, [...parameters(ranges), new Date(doneMs)]);

/** Days that the ranges touch and that ended in (over.fromMs, over.toMs]. */
async function rollDays(
  tx: Queries,
  ranges: readonly RollupRange[],
  calendar: Calendar,
  over: { fromMs: number; toMs: number },
): Promise<void> {
  if (ranges.length === 0) return;
  const fromMs = ranges.reduce((least, range) => Math.min(least, range.fromMs), Number.POSITIVE_INFINITY);
  const toMs = ranges.reduce((most, range) => Math.max(most, range.toMs), Number.NEGATIVE_INFINITY);
  const zones = await tx.query<{ timezone: string }>("SELECT DISTINCT timezone FROM core.facilities");
  const days = zones.flatMap(({ timezone }) =>
    calendar(fromMs, toMs, timezone)
      .filter((day) => day.toMs > over.fromMs && day.toMs <= over.toMs)
      .map((day) => ({ ...day, timezone })),
  );
  // a forward step that ends no day has nothing to do; a repair may have rows of another zone to take away
  if (days.length === 0 && Number.isFinite(over.fromMs)) return;
  await tx.execute(REPAIR_1D, [
    ...parameters(ranges),
    days.map(({ timezone }) => timezone),
    days.map((day) => new Date(day.fromMs)),
    days.map((day) => new Date(day.toMs)),
    days.map(({ date }) => date),
  ]);
}

interface MarkRow {
  id: number;
  sensorId: number;
  from: Date | null;
  to: Date;
  rebuild: boolean;
}

/**
 * The first $2 marks and the buckets they reach from and to, to $1 at most. The reading that a mark reached through to
 * may have been taken away by a writer that the marking one could not see yet: it goes on to the one that is next now.
 */
const NEXT_MARKS = `SELECT d.id, d.sensor_id AS "sensorId", d.rebuild,
        CASE WHEN isfinite(d.from_time) THEN public.five_minutes(d.from_time)
             ELSE public.five_minutes(least(
               (SELECT min(m.time) FROM public.measurement m WHERE m.sensor_id = d.sensor_id),
               (SELECT min(r.bucket) FROM public.rollup_5m r WHERE r.sensor_id = d.sensor_id),
               (SELECT min(r.bucket) FROM public.rollup_1d r WHERE r.sensor_id = d.sensor_id))) END AS "from",
        least($1::timestamptz, public.five_minutes(
          coalesce((SELECT time FROM (${neighbour("d.sensor_id", ">=", "d.to_time")}) next), d.to_time)
        ) + INTERVAL '5 minutes') AS "to"
   FROM (SELECT * FROM public.rollup_dirty ORDER BY sensor_id, from_time LIMIT $2) d ORDER BY d.sensor_id, d.from_time`;

/** Takes as many marks as one step repairs. What is too long for it is marked again from where this step ends. */
async function takeMarks(tx: Transaction, doneMs: number): Promise<{ ranges: RollupRange[]; taken: number }> {
  const marks = await tx.query<MarkRow>(NEXT_MARKS, [new Date(doneMs), REPAIR_MARKS]);
  const ids: number[] = [];
  const ranges: RollupRange[] = [];
  const rest: RollupRange[] = [];
  let lengthMs = 0;
  for (const { id, sensorId, from, to, rebuild } of marks) {
    if (lengthMs > REPAIR_STEP_MS) break;
    ids.push(id);
    if (from === null || from >= to) continue; // nothing there, or not yet rolled up at all
    const range = { sensorId, fromMs: from.getTime(), toMs: to.getTime(), rebuild };
    const cutMs = Math.min(range.toMs, range.fromMs + REPAIR_RANGE_MS);
    ranges.push({ ...range, toMs: cutMs });
    if (cutMs < range.toMs) rest.push({ ...range, fromMs: cutMs });
    // a writer's mark is long only where there is nothing between its readings and the next
    lengthMs += Math.min(cutMs - range.fromMs, rebuild ? REPAIR_RANGE_MS : HOUR_MS);
  }
  await tx.execute("DELETE FROM public.rollup_dirty WHERE id = ANY ($1::bigint[])", [ids]);
  await markRest(tx, rest);
  return { ranges: joinRanges(ranges), taken: ids.length };
}

/** From the next bucket with anything in it: stretches without readings cost nothing. */
async function markRest(tx: Transaction, rest: readonly RollupRange[]): Promise<void> {
  if (rest.length === 0) return;
  await tx.execute(
    `INSERT INTO public.rollup_dirty (sensor_id, rebuild, from_time, to_time)
     SELECT DISTINCT r.sensor_id, r.rebuild, n.from_time, r.to_time - INTERVAL '5 minutes'
       FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[], $4::bool[]) AS r (sensor_id, from_time, to_time, rebuild)
      CROSS JOIN LATERAL (SELECT least(
              (SELECT min(m.time) FROM public.measurement m WHERE m.sensor_id = r.sensor_id AND m.time >= r.from_time),
              (SELECT min(b.bucket) FROM public.rollup_5m b WHERE b.sensor_id = r.sensor_id AND b.bucket >= r.from_time),
              (SELECT min(b.bucket) FROM public.rollup_1d b WHERE b.sensor_id = r.sensor_id AND b.bucket >= r.from_time)
            ) AS from_time) n
      WHERE n.from_time < r.to_time`,
    parameters(rest),
  );
}
