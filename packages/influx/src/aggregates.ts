import { escapeIdentifier } from "./influx-ql.ts";

/** Device of the readings that `./sluice influx init --sample-data` makes up: in InfluxDB only. */
export const SAMPLE_DEVICE = "sluice-sample";

/** Figures of document A's readings that InfluxDB keeps itself, in a bucket (1.x: database) of their own. */
export interface Aggregate {
  /** The bucket's name is that of the readings with this behind it. */
  suffix: "_hourly" | "_daily";
  measurement: string;
  every: "1h" | "1d";
  /** How far back each run does it again, for what came late. */
  again: string;
  /** How often 1.x does it again. */
  resample: string;
}

/** Hours. */
export const HOURLY_AGGREGATE: Aggregate = {
  suffix: "_hourly",
  measurement: "sensor_hourly",
  every: "1h",
  again: "4h",
  resample: "10m",
};
/** UTC days. */
export const DAILY_AGGREGATE: Aggregate = {
  suffix: "_daily",
  measurement: "sensor_daily",
  every: "1d",
  again: "2d",
  resample: "1h",
};

/** Both. */
export const AGGREGATES = [HOURLY_AGGREGATE, DAILY_AGGREGATE] as const;

/** Where the figures of `bucket` are kept: `hydroponics_hourly` for `hydroponics`. */
export const aggregateBucket = (bucket: string, { suffix }: Aggregate): string => `${bucket}${suffix}`;

/** Name of the continuous query or task. */
export const aggregateName = ({ measurement }: Aggregate): string => `sluice_${measurement}`;

const FIGURES = ["count", "mean", "min", "max", "stddev"] as const;

/**
 * The continuous query (1.x) that fills an aggregate bucket: fields `count_x`, `mean_x`, `min_x`, `max_x` and `stddev_x`
 * for every field x, tag `sensor_id`, time the beginning of the window.
 */
export function continuousQuery(bucket: string, aggregate: Aggregate): string {
  const { measurement, every, again, resample } = aggregate;
  const figures = FIGURES.map((figure) => `${figure}(/.*/)`).join(", ");
  const into = `${escapeIdentifier(aggregateBucket(bucket, aggregate))}..${escapeIdentifier(measurement)}`;
  return (
    `CREATE CONTINUOUS QUERY ${escapeIdentifier(aggregateName(aggregate))} ON ${escapeIdentifier(bucket)} ` +
    `RESAMPLE EVERY ${resample} FOR ${again} BEGIN SELECT ${figures} INTO ${into} ` +
    `FROM "sensor_reading" GROUP BY time(${every}), "sensor_id" END`
  );
}

/** The same as a Flux task (2.x). Not executed in our tests: no InfluxDB 2 runs there. */
export function fluxTask(bucket: string, aggregate: Aggregate): string {
  const { measurement, every, again } = aggregate;
  const text = (value: string) => JSON.stringify(value);
  const tables = FIGURES.map((figure) => `figure(name: "${figure}", fn: ${figure})`).join(",\n    ");
  return `import "date"
import "types"

option task = {name: ${text(aggregateName(aggregate))}, every: ${every}, offset: 5m}

stop = date.truncate(t: now(), unit: ${every})

readings = from(bucket: ${text(bucket)})
  |> range(start: date.sub(d: ${again}, from: stop), stop: stop)
  |> filter(fn: (r) => r._measurement == "sensor_reading" and types.isNumeric(v: r._value))
  |> group(columns: ["sensor_id", "_field"])

figure = (name, fn) => readings
  |> aggregateWindow(every: ${every}, fn: fn, createEmpty: false, timeSrc: "_start")
  |> map(fn: (r) => ({
    _time: r._time,
    _measurement: ${text(measurement)},
    sensor_id: r.sensor_id,
    _field: name + "_" + r._field,
    _value: float(v: r._value),
  }))
  // the deviation of a single reading is not a number
  |> filter(fn: (r) => r._value == r._value)
  |> group(columns: ["_measurement", "sensor_id", "_field"])

union(
  tables: [
    ${tables},
  ],
)
  |> to(bucket: ${text(aggregateBucket(bucket, aggregate))})
`;
}
