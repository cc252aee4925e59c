import { z } from "zod";

const Figure = z.number().nullable();

/** Document E's `SensorStatsOut`: an hour of a sensor. */
export const SensorStatsOut = z.object({
  dt: z.string(),
  min_value: Figure,
  avg_value: Figure,
  max_value: Figure,
  std_dev: Figure,
  readings_count: Figure,
});

/** Document E's `MachineUtilOut`, a day in hours, with what was down unplanned. */
export const MachineUtilOut = z.object({
  dt: z.string(),
  state_running: Figure,
  state_planned_down: Figure,
  running_percentage: Figure,
  down_percentage: Figure,
  state_unplanned_down: Figure,
});

/** How long a program ran on a day. */
export const MachineProgramOut = z.object({
  dt: z.string(),
  program: z.int(),
  duration_seconds: z.int(),
});

/** Alarms of a kind on a day: in all snapshots, and newly raised. */
export const AlertsDailyCountOut = z.object({
  day: z.string(),
  alert_type: z.enum(["emergency", "error", "warning", "other"]),
  amount: z.int(),
  newly_raised: z.int(),
});

/** An emergency or an error. */
export const AlertsDetailOut = z.object({
  id: z.int(),
  dt: z.string(),
  alert_type: z.enum(["emergency", "error", "warning", "other"]),
  alarm_code: z.string().nullable(),
  alarm_description: z.string().nullable(),
  newly_raised: z.boolean(),
});

/** What an hour used. */
export const EnergyConsumptionOut = z.object({ hour_ts: z.string(), energy_kwh: z.number() });

/** A change of MACHINE_IN_OPERATION: 255 running, 0 idle, null off. */
export const MachineChangeOut = z.object({ ts: z.string(), value: Figure });

/** What there is of a machine, and per table with the job that fills it. */
export const DataStatusOut = z.object({
  first_date: z.string().nullable(),
  last_date: z.string().nullable(),
  sensor_records: z.int(),
  utilization_records: z.int(),
  alert_records: z.int(),
  program_records: z.int(),
  energy_records: z.int(),
  tables: z.array(
    z.object({
      job_name: z.string(),
      table_name: z.string(),
      first_date: z.string().nullable(),
      last_date: z.string().nullable(),
      total_records: z.int(),
      days_done: z.int(),
      last_done: z.string().nullable(),
    }),
  ),
});
