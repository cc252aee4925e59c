import { readInt8, viewOf } from "./binary-array.ts";
import type { TimeRange } from "./job-repository.ts";
import type { Queries } from "./open-db.ts";

/** A variable of a machine's log. */
export interface LogVariable {
  readonly id: number;
  readonly name: string;
}

/** A number from an instant on; null where the machine is off, or what it said is no number. */
export interface LogSample {
  readonly atMs: number;
  readonly value: number | null;
}

/** A text from an instant on. */
export interface LogText {
  readonly atMs: number;
  readonly text: string | null;
}

/** A log of changes: a row when a value changes, and nothing while it stays. */
export interface MachineLog {
  listVariables(): Promise<LogVariable[]>;
  /** First and last row of these variables; undefined where there is none. */
  findSpan(ids: readonly number[]): Promise<TimeRange | undefined>;
  /** Numbers in a range in order, by variable, with the last one before it and the first one after. */
  listSamples(ids: readonly number[], range: TimeRange): Promise<Map<number, LogSample[]>>;
  /** Texts of a variable in a range in order, with the last list (`[…]`) before it. One text an instant. */
  listTexts(id: number, range: TimeRange): Promise<LogText[]>;
  /**
   * When the machine logged anything at least every `gapMs`, in whole seconds: from the first row of each session to its
   * last. A second in which all rows say that something is off ends a session.
   */
  listSessions(ids: readonly number[], range: TimeRange, gapMs: number): Promise<TimeRange[]>;
  /** Rows of these variables by day (UTC, its first millisecond), days without any left out. */
  countDays(ids: readonly number[], range: TimeRange): Promise<Map<number, number>>;
}

/** Figures of a log that is in the document's tables `variable`, `variable_log_float` and `variable_log_string`. */
export function readDocumentLog(db: Queries): MachineLog {
  return {
    listVariables: () => db.query<LogVariable>("SELECT id::int AS id, name FROM variable ORDER BY id"),
    findSpan: async (ids) => spanOf(await db.query(SPAN, [ids])),
    listSamples: async (ids, { fromMs, toMs }) =>
      samplesOf(await db.query<PackedSamples>(SAMPLES, [ids, fromMs, toMs])),
    listTexts: async (id, { fromMs, toMs }) =>
      textsOf(
        await db.query<LogText>(
          `(SELECT date AS "atMs", value AS text FROM variable_log_string
             WHERE id_var = $1 AND date < $2 AND value LIKE '[%]' ORDER BY date DESC, value DESC LIMIT 1)
           UNION ALL
           (SELECT date, value FROM variable_log_string
             WHERE id_var = $1 AND date >= $2 AND date < $3 ORDER BY date, value)`,
          [id, fromMs, toMs],
        ),
      ),
    listSessions: (ids, { fromMs, toMs }, gapMs) =>
      db.query<TimeRange>(sessionsOf(SECONDS), [ids, fromMs - gapMs, toMs + gapMs, Math.floor(gapMs / 1000)]),
    countDays: async (ids, { fromMs, toMs }) =>
      daysOf(await db.query<DayRow>(countsOf(COUNTED), [ids, fromMs, toMs])),
  };
}

const OF_THESE = "id_var = ANY ($1::int[]) AND date >= $2 AND date < $3";
const SPAN = `SELECT min(first) AS first, max(last) AS last FROM unnest($1::int[]) AS v (id) CROSS JOIN LATERAL (
  SELECT min(date) AS first, max(date) AS last FROM variable_log_float WHERE id_var = v.id
  UNION ALL SELECT min(date), max(date) FROM variable_log_string WHERE id_var = v.id) s`;
const SAMPLES = packedOf({
  before:
    "SELECT date AS at, value FROM variable_log_float WHERE id_var = v.id AND date < $2 ORDER BY date DESC LIMIT 1",
  inside:
    "SELECT date AS at, value FROM variable_log_float WHERE id_var = v.id AND date >= $2 AND date < $3 ORDER BY date",
  after:
    "SELECT date AS at, value FROM variable_log_float WHERE id_var = v.id AND date >= $3 ORDER BY date LIMIT 1",
});
const SECONDS = `SELECT date / 1000 AS second, value IS NOT NULL AND value <> 'NaN' AS alive
    FROM variable_log_float WHERE ${OF_THESE}
  UNION ALL
  SELECT date / 1000, value IS NOT NULL AND lower(value) <> 'nan' FROM variable_log_string WHERE ${OF_THESE}`;
const COUNTED = `SELECT date / 86400000 AS day FROM variable_log_float WHERE ${OF_THESE}
  UNION ALL SELECT date / 86400000 FROM variable_log_string WHERE ${OF_THESE}`;

/** Samples of a variable, 16 bytes each: milliseconds as `int8`, value as `float8`. */
export interface PackedSamples {
  id: number;
  before: Buffer | null;
  inside: Buffer | null;
  after: Buffer | null;
}
interface DayRow {
  day: number;
  rows: number;
}

/** Sessions of rows of (second, alive); $4 is the longest pause within one, in seconds. */
export const sessionsOf = (seconds: string): string =>
  `WITH instant AS (SELECT second, bool_or(alive) AS alive FROM (${seconds}) r GROUP BY second),
   marked AS (SELECT second, alive,
                     CASE WHEN second - lag(second) OVER w <= $4 AND lag(alive) OVER w THEN 0 ELSE 1 END AS begins
                FROM instant WINDOW w AS (ORDER BY second)),
   numbered AS (SELECT second, alive, sum(begins) OVER (ORDER BY second) AS session FROM marked)
   SELECT min(second) * 1000 AS "fromMs", max(second) * 1000 AS "toMs" FROM numbered
    GROUP BY session HAVING bool_or(alive) ORDER BY 1`;

/** Days of rows of (day), counted. */
export const countsOf = (days: string): string =>
  `SELECT day, count(*) AS rows FROM (${days}) r GROUP BY day ORDER BY day`;

/** See {@link MachineLog.countDays}. */
export const daysOf = (rows: readonly DayRow[]): Map<number, number> =>
  new Map(rows.map(({ day, rows: n }) => [day * 86_400_000, n]));

/** See {@link MachineLog.findSpan}. */
export function spanOf([row]: { first?: number | null; last?: number | null }[]): TimeRange | undefined {
  if (typeof row?.first !== "number" || typeof row.last !== "number") return undefined;
  return { fromMs: row.first, toMs: row.last };
}

/**
 * {@link PackedSamples} of the variables `$1`, from queries for (at, value) of one, `v.id`. Packed by the server they come
 * four times as fast as in rows.
 */
export function packedOf(parts: Readonly<Record<"before" | "inside" | "after", string>>): string {
  const columns = Object.entries(parts).map(
    ([name, rows]) =>
      `(SELECT string_agg(int8send(at) || float8send(coalesce(value, 'NaN')), ''::bytea) FROM (${rows}) r) AS ${name}`,
  );
  return `SELECT v.id, ${columns.join(", ")} FROM unnest($1::int[]) AS v (id)`;
}

const SAMPLE_BYTES = 16;

/** See {@link MachineLog.listSamples}. */
export function samplesOf(rows: readonly PackedSamples[]): Map<number, LogSample[]> {
  const samples = new Map<number, LogSample[]>();
  for (const { id, before, inside, after } of rows) {
    const list: LogSample[] = [];
    for (const data of [before, inside, after]) {
      if (data === null) continue;
      const view = viewOf(data);
      for (let at = 0; at < data.length; at += SAMPLE_BYTES) {
        const value = view.getFloat64(at + 8);
        list.push({ atMs: readInt8(view, at), value: Number.isFinite(value) ? value : null });
      }
    }
    samples.set(id, list);
  }
  return samples;
}

/** See {@link MachineLog.listTexts}: in order, of several texts of one instant the last one. */
export const textsOf = (rows: readonly LogText[]): LogText[] => [
  ...new Map([...rows].sort((a, b) => a.atMs - b.atMs).map((row) => [row.atMs, row])).values(),
];
