import { readFile } from "node:fs/promises";
import type { DerivedRow, DerivedTable } from "./bi-table-repository.ts";
import type { TimeRange } from "./job-repository.ts";
import type { Queries } from "./open-db.ts";

/** A table of the aggregation database: its rows belong to a machine and a time. */
export interface MachineTable extends DerivedTable {
  /** The key column that holds the time, a DATE or a TIMESTAMP in UTC. */
  readonly time: string;
}

/** Hours of each day running, planned down and unplanned down. */
export const ACTIVITY_TABLE: MachineTable = {
  name: "agg_machine_activity_daily",
  time: "dt",
  keys: { machine_id: "varchar", dt: "date" },
  values: { state_planned_down: "numeric", state_running: "numeric", state_unplanned_down: "numeric" },
  stamp: "last_updated_at",
};

/** Hourly statistics of sensors. */
export const SENSOR_STATS_TABLE: MachineTable = {
  name: "agg_sensor_stats",
  time: "dt",
  keys: { machine_id: "varchar", sensor_name: "varchar", dt: "timestamp" },
  values: {
    min_value: "float8",
    avg_value: "float8",
    max_value: "float8",
    std_dev: "float8",
    readings_count: "int",
  },
  stamp: "last_updated_at",
};

/** Alarms by day and kind. */
export const ALERT_COUNT_TABLE: MachineTable = {
  name: "alerts_daily_count",
  time: "day",
  keys: { machine_id: "varchar", day: "date", alert_type: "varchar" },
  values: { amount: "int", newly_raised: "int" },
};

/** Every emergency and error. */
export const ALERT_DETAIL_TABLE: MachineTable = {
  name: "alerts_detail",
  time: "dt",
  keys: { machine_id: "varchar", dt: "timestamp", elem_no: "int" },
  values: {
    alert_type: "varchar",
    alarm_code: "text",
    alarm_description: "text",
    raw_elem_json: "jsonb",
    newly_raised: "boolean",
  },
};

/** Seconds of each program on each day. */
export const PROGRAM_TABLE: MachineTable = {
  name: "machine_program_data",
  time: "dt",
  keys: { machine_id: "varchar", dt: "date", program: "int" },
  values: { duration_seconds: "bigint" },
};

/** kWh of each hour. */
export const ENERGY_TABLE: MachineTable = {
  name: "energy_consumption_hourly",
  time: "hour_ts",
  keys: { machine_id: "varchar", hour_ts: "timestamp" },
  values: { energy_kwh: "numeric" },
};

/** Days that a job has finished. */
export const JOB_DAY_TABLE: MachineTable = {
  name: "agg_job_day",
  time: "day",
  keys: { job_name: "varchar", machine_id: "varchar", day: "date" },
  values: { source_rows: "bigint", bad_rows: "int" },
  stamp: "computed_at",
};

const SCRIPT = new URL("../migrations/065-create-agg-database.sql", import.meta.url);

/** Makes the aggregation tables in a database of their own, where they are missing. */
export async function ensureMachineTables(db: Queries): Promise<void> {
  const [row] = await db.query<{ made: boolean }>("SELECT to_regclass('agg_job_day') IS NOT NULL AS made");
  if (!row?.made) await db.query(await readFile(SCRIPT, "utf8"));
}

/** Keys of a machine's rows in a range, as the rows of {@link MachineTable} have them. */
export async function listMachineKeys(
  db: Queries,
  table: MachineTable,
  machineId: string,
  { fromMs, toMs }: TimeRange,
): Promise<DerivedRow[]> {
  const keys = Object.keys(table.keys).map((key) => `'${key}', ${key}`);
  const rows = await db.query<{ key: DerivedRow }>(
    `SELECT jsonb_build_object(${keys.join(", ")}) AS key FROM ${table.name}
      WHERE machine_id = $1 AND ${table.time} >= $2::timestamp AND ${table.time} < $3::timestamp`,
    [machineId, utcText(fromMs), utcText(toMs)],
  );
  return rows.map(({ key }) => key);
}

/** Days of a range that a job has finished for a machine, by their first millisecond, with the rows of the log then. */
export async function listJobDays(
  db: Queries,
  job: string,
  machineId: string,
  { fromMs, toMs }: TimeRange,
): Promise<Map<number, number>> {
  const rows = await db.query<{ dayMs: number; rows: number }>(
    `SELECT (extract(epoch FROM day) * 1000)::float8 AS "dayMs", source_rows AS rows FROM agg_job_day
      WHERE job_name = $1 AND machine_id = $2 AND day >= $3::timestamp AND day < $4::timestamp`,
    [job, machineId, utcText(fromMs), utcText(toMs)],
  );
  return new Map(rows.map(({ dayMs, rows: n }) => [dayMs, n]));
}

/** An instant as PostgreSQL writes a TIMESTAMP in JSON: UTC, no trailing zeros. */
export const utcText = (atMs: number): string =>
  new Date(atMs)
    .toISOString()
    .slice(0, -1)
    .replace(/\.?0+$/, "");

/** A day as PostgreSQL writes a DATE. */
export const utcDate = (atMs: number): string => new Date(atMs).toISOString().slice(0, 10);
