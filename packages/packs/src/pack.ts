import { z } from "zod";
import { Simulator } from "./simulator.ts";

const Name = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,40}$/, "is lower-case letters, digits and '-', and begins with a letter");
const Field = z.string().regex(/^[A-Za-z][A-Za-z0-9_.]{0,127}$/, "is the name of a field as devices send it");
const Title = z.string().min(1).max(100);

/** A kind of sensor: its unit, what values it may have, and the fields by which devices send it. */
export const SensorType = z
  .strictObject({
    name: z.string().regex(/^[A-Z][A-Z0-9_]{0,99}$/, "is upper-case letters, digits and '_'"),
    fields: z.array(Field).min(1),
    unit: z.string().max(20),
    category: z
      .enum(["environmental", "water_quality", "system_performance", "crop_performance", "economic"])
      .default("system_performance"),
    min: z.number().min(-999_999).max(999_999).optional(),
    max: z.number().min(-999_999).max(999_999).optional(),
    calibrationDays: z.int().positive().optional(),
    description: z.string().max(500).optional(),
  })
  .refine(({ min, max }) => min === undefined || max === undefined || min < max, "min is not below max");

/** A figure that a job of data takes from the rollups of one field. */
export const Metric = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9_]{0,62}$/, "is lower-case letters, digits and '_'"),
  field: Field,
  /** `integral` is the sum of value times seconds; `hours` how long a value was known. */
  figure: z.enum(["mean", "min", "max", "first", "last", "count", "integral", "hours", "coverage"]),
  /** The figure is multiplied by it, for example to come from L/s to m³. */
  scale: z.number().default(1),
  unit: z.string().max(20).default(""),
});

/** Jobs of the product that a pack may name: those of the ETL engine, and the machines' five. */
export const PRODUCT_JOBS: readonly string[] = [
  "hourly",
  "daily",
  "water",
  "packs",
  "etl_agg_sensor_stats",
  "etl_agg_utilization",
  "etl_agg_program_history",
  "etl_agg_alerts",
  "etl_agg_energy_daily",
];

/** A job that needs no code: figures per device and hour or day, into `bi.pack_metric`. */
export const MetricJob = z.strictObject({
  name: Name,
  bucket: z.enum(["1h", "1d"]),
  metrics: z.array(Metric).min(1),
});

/** A rule that raises alerts on sensors of a type; it is put in place when the pack is enabled. */
export const AlertRule = z
  .strictObject({
    name: z.string().min(1).max(255),
    sensorType: z.string().min(1),
    condition: z.enum(["above", "below", "out_of_range", "rate_of_change"]),
    threshold: z.number().optional(),
    min: z.number().optional(),
    max: z.number().optional(),
    durationMinutes: z.number().min(0).default(0),
    severity: z.enum(["info", "warning", "critical", "emergency"]).default("warning"),
  })
  .refine(
    ({ condition, threshold, min, max }) =>
      condition === "out_of_range"
        ? min !== undefined && max !== undefined && min < max
        : threshold !== undefined,
    "out_of_range has min below max, the others a threshold",
  );

const Column = z.string().regex(/^[a-z_][a-z0-9_]*$/, "is the name of a column");

/** A panel of a dashboard: a chart of fields, their newest values, or rows of a table. */
export const Panel = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("chart"), title: Title, fields: z.array(Field).min(1) }),
  z.strictObject({ kind: z.literal("latest"), title: Title, fields: z.array(Field).min(1) }),
  z.strictObject({
    kind: z.literal("table"),
    title: Title,
    /** A table or view of the database. */
    from: z
      .string()
      .regex(/^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$/, "is a table or view: name or schema.name"),
    /** Only rows with these values. */
    where: z.record(Column, z.string()).default({}),
    /** The newest rows by the first of them come first. */
    columns: z.array(Column).min(1),
  }),
]);

/** `dashboards/<name>.json`. */
export const Dashboard = z.strictObject({ name: Name, title: Title, panels: z.array(Panel).min(1) });

/** `pack.json`: what a domain is, without its dashboards and its simulator, which are files of their own. */
export const PackFile = z.strictObject({
  name: Name,
  title: Title,
  description: z.string().max(1000),
  /** Its sensor types are only given to devices of these types; empty: to all. */
  deviceTypes: z.array(z.string().min(1).max(50)).default([]),
  sensorTypes: z.array(SensorType).min(1),
  /** Names of jobs that the product has, and jobs that are data. */
  jobs: z.array(z.union([z.string(), MetricJob])).default([]),
  alertRules: z.array(AlertRule).default([]),
});

/** A whole pack, as it is read from its folder and kept when it is enabled. */
export const Pack = PackFile.extend({ dashboards: z.array(Dashboard), simulator: Simulator }).superRefine(
  ({ sensorTypes, simulator, dashboards, alertRules, jobs }, context) => {
    const fields = new Set(sensorTypes.flatMap((type) => type.fields));
    const said = (message: string) => context.addIssue({ code: "custom", message });
    for (const job of jobs) {
      if (typeof job === "string" && !PRODUCT_JOBS.includes(job))
        said(`jobs: there is no job '${job}'; there are ${PRODUCT_JOBS.join(", ")}`);
    }
    for (const device of simulator.devices) {
      for (const field of Object.keys(device.fields)) {
        if (!fields.has(field)) said(`simulator: no sensor type has the field '${field}' of ${device.id}`);
      }
    }
    for (const { name, panels } of dashboards) {
      for (const panel of panels) {
        for (const field of panel.kind === "table" ? [] : panel.fields) {
          if (!fields.has(field)) said(`dashboard ${name}: no sensor type has the field '${field}'`);
        }
      }
    }
    for (const { name, sensorType } of alertRules) {
      if (!sensorTypes.some((type) => type.name === sensorType))
        said(`alert rule ${name}: there is no sensor type '${sensorType}'`);
    }
    if (fields.size < sensorTypes.flatMap((type) => type.fields).length)
      said("a field is of two sensor types");
  },
);

export type SensorType = z.output<typeof SensorType>;
export type MetricJob = z.output<typeof MetricJob>;
export type Panel = z.output<typeof Panel>;
export type Dashboard = z.output<typeof Dashboard>;
export type Pack = z.output<typeof Pack>;
