import type { Queries } from "./open-db.ts";

/** Figures of one machine and some days, both included, as `YYYY-MM-DD`. */
export interface MachineDays {
  readonly machineId: string;
  readonly from: string;
  readonly to: string;
}

// Times as the document's api wrote them: `str()` of a Python datetime.
const time = (column: string) =>
  `to_char(${column}, 'YYYY-MM-DD HH24:MI:SS') || CASE WHEN extract(microseconds FROM ${column})::int % 1000000 = 0
     THEN '' ELSE to_char(${column}, '.US') END`;
const IN_DAYS = (column: string) =>
  `machine_id = $1 AND ${column} >= $2::date AND ${column} < $3::date + INTERVAL '1 day'`;
const params = ({ machineId, from, to }: MachineDays) => [machineId, from, to];

export interface SensorHour {
  dt: string;
  min_value: number | null;
  avg_value: number | null;
  max_value: number | null;
  std_dev: number | null;
  readings_count: number | null;
}

/** Hourly statistics of a sensor, by time. */
export const listSensorHours = (db: Queries, days: MachineDays, sensor: string) =>
  db.query<SensorHour>(
    `SELECT ${time("dt")} AS dt, min_value, avg_value, max_value, std_dev, readings_count FROM agg_sensor_stats
      WHERE ${IN_DAYS("dt")} AND sensor_name = $4 ORDER BY agg_sensor_stats.dt`,
    [...params(days), sensor],
  );

export interface MachineDay {
  dt: string;
  state_running: number | null;
  state_planned_down: number | null;
  running_percentage: number | null;
  down_percentage: number | null;
  state_unplanned_down: number | null;
}

/** Hours of each day, by day. */
export const listMachineDays = (db: Queries, days: MachineDays) =>
  db.query<MachineDay>(
    `SELECT dt::text AS dt, state_running::float8, state_planned_down::float8, running_percentage::float8,
            down_percentage::float8, state_unplanned_down::float8
       FROM agg_machine_activity_daily WHERE ${IN_DAYS("dt")} ORDER BY agg_machine_activity_daily.dt`,
    params(days),
  );

export interface ProgramDay {
  dt: string;
  program: number;
  duration_seconds: number;
}

/** How long each program ran, by day, the longest first. */
export const listProgramDays = (db: Queries, days: MachineDays) =>
  db.query<ProgramDay>(
    `SELECT dt::text AS dt, program, duration_seconds FROM machine_program_data
      WHERE ${IN_DAYS("dt")} ORDER BY machine_program_data.dt, duration_seconds DESC, program`,
    params(days),
  );

export interface AlertDay {
  day: string;
  alert_type: string;
  amount: number;
  newly_raised: number;
}

/** Alarms of each day by kind, the most frequent first. */
export const listAlertDays = (db: Queries, days: MachineDays) =>
  db.query<AlertDay>(
    `SELECT day::text AS day, alert_type, amount, newly_raised FROM alerts_daily_count
      WHERE ${IN_DAYS("day")} ORDER BY alerts_daily_count.day, amount DESC, alert_type`,
    params(days),
  );

export interface AlertDetail {
  id: number;
  dt: string;
  alert_type: string;
  alarm_code: string | null;
  alarm_description: string | null;
  newly_raised: boolean;
}

/** Emergencies and errors, by time; at most `limit` of them. */
export const listAlertDetails = (db: Queries, days: MachineDays, limit: number) =>
  db.query<AlertDetail>(
    `SELECT id, ${time("dt")} AS dt, alert_type, alarm_code, alarm_description, newly_raised FROM alerts_detail
      WHERE ${IN_DAYS("dt")} ORDER BY alerts_detail.dt, elem_no LIMIT $4`,
    [...params(days), limit],
  );

export interface EnergyHour {
  hour_ts: string;
  energy_kwh: number;
}

/** kWh of each hour, by time. */
export const listEnergyHours = (db: Queries, days: MachineDays) =>
  db.query<EnergyHour>(
    `SELECT ${time("hour_ts")} AS hour_ts, energy_kwh::float8 FROM energy_consumption_hourly
      WHERE ${IN_DAYS("hour_ts")} ORDER BY energy_consumption_hourly.hour_ts`,
    params(days),
  );

export interface TableStatus {
  job_name: string;
  table_name: string;
  first_date: string | null;
  last_date: string | null;
  total_records: number;
  days_done: number;
  last_done: string | null;
}

/** What there is of a machine: the document's one row, and the same per table with its job. */
export interface DataStatus {
  first_date: string | null;
  last_date: string | null;
  sensor_records: number;
  utilization_records: number;
  alert_records: number;
  program_records: number;
  energy_records: number;
  tables: TableStatus[];
}

/** Reads `v_data_status` of a machine; undefined where nothing is known of it. */
export async function findDataStatus(db: Queries, machineId: string): Promise<DataStatus | undefined> {
  const [row] = await db.query<DataStatus>(
    `SELECT min(first_date)::text AS first_date, max(last_date)::text AS last_date,
            max(sensor_records) AS sensor_records, max(utilization_records) AS utilization_records,
            max(alert_records) AS alert_records, max(program_records) AS program_records,
            max(energy_records) AS energy_records,
            jsonb_agg(jsonb_build_object('job_name', job_name, 'table_name', table_name, 'first_date', first_date,
              'last_date', last_date, 'total_records', total_records, 'days_done', days_done, 'last_done', last_done))
              AS tables
       FROM v_data_status WHERE machine_id = $1 HAVING count(*) > 0`,
    [machineId],
  );
  return row;
}
