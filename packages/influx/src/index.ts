export {
  AGGREGATES,
  type Aggregate,
  aggregateBucket,
  continuousQuery,
  DAILY_AGGREGATE,
  fluxTask,
  HOURLY_AGGREGATE,
  SAMPLE_DEVICE,
} from "./aggregates.ts";
export {
  type InfluxOptions,
  type InfluxVariables,
  type InfluxVersion,
  influxOptions,
} from "./connection.ts";
export type { DeleteRange } from "./delete-range.ts";
export { coerceField, type FieldConflict, findConflict, type StoredType } from "./field-types.ts";
export {
  type Cell,
  escapeIdentifier,
  escapeString,
  type Identifier,
  identifier,
  influxQl,
  type Parameter,
  type Series,
} from "./influx-ql.ts";
export {
  encodeFields,
  encodeLine,
  encodePoint,
  encodeSeries,
  type FieldValue,
  fieldNameOf,
  type Point,
} from "./line-protocol.ts";
export { type Influx, openInflux } from "./open-influx.ts";
export { createPointWriter, type PointWriter, type RefusedPart } from "./point-writer.ts";
export type { Refusal } from "./refusal.ts";
export { type SetUpOptions, type SetUpResult, setUpInflux } from "./set-up.ts";
export type { PostLines, RejectedLine } from "./settle-lines.ts";
