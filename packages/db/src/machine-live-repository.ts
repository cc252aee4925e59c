import {
  countsOf,
  daysOf,
  type LogVariable,
  type MachineLog,
  packedOf,
  samplesOf,
  sessionsOf,
  spanOf,
  textsOf,
} from "./machine-log-repository.ts";
import type { Queries } from "./open-db.ts";

/**
 * The log of a machine whose variables arrive as telemetry of a device: fields are variables, `null` is off, texts are
 * those of `measurement_text`. Times are whole milliseconds.
 */
export function readLiveLog(db: Queries, deviceId: number): MachineLog {
  return {
    listVariables: () =>
      db.query<LogVariable>(
        "SELECT id, sensor_code AS name FROM iot.sensors WHERE device_id = $1 ORDER BY id",
        [deviceId],
      ),
    findSpan: async (ids) => spanOf(await db.query(SPAN, [ids])),
    listSamples: async (ids, { fromMs, toMs }) => samplesOf(await db.query(SAMPLES, [ids, fromMs, toMs])),
    listTexts: async (id, { fromMs, toMs }) =>
      textsOf(
        await db.query(
          `(SELECT ${MS} AS "atMs", value AS text FROM measurement_text
             WHERE sensor_id = $1 AND time < ${FROM} AND value LIKE '[%]' ORDER BY time DESC LIMIT 1)
           UNION ALL
           (SELECT ${MS}, value FROM measurement_text
             WHERE sensor_id = $1 AND time >= ${FROM} AND time < ${TO} ORDER BY time)`,
          [id, fromMs, toMs],
        ),
      ),
    listSessions: (ids, { fromMs, toMs }, gapMs) =>
      db.query(sessionsOf(SECONDS), [ids, fromMs - gapMs, toMs + gapMs, Math.floor(gapMs / 1000)]),
    countDays: async (ids, { fromMs, toMs }) =>
      daysOf(await db.query(countsOf(COUNTED), [ids, fromMs, toMs])),
  };
}

const MS = "floor(extract(epoch FROM time) * 1000)::bigint";
const FROM = "to_timestamp($2::float8 / 1000)";
const TO = "to_timestamp($3::float8 / 1000)";
const OF_THESE = `sensor_id = ANY ($1::int[]) AND time >= ${FROM} AND time < ${TO}`;
const SPAN = `SELECT floor(extract(epoch FROM min(first)) * 1000)::bigint AS first,
                     floor(extract(epoch FROM max(last)) * 1000)::bigint AS last
  FROM unnest($1::int[]) AS v (id) CROSS JOIN LATERAL (
    SELECT min(time) AS first, max(time) AS last FROM measurement WHERE sensor_id = v.id
    UNION ALL SELECT min(time), max(time) FROM measurement_text WHERE sensor_id = v.id) s`;
const VALUES = `SELECT ${MS} AS at, m.value + s.calibration_offset AS value
  FROM measurement m JOIN iot.sensors s ON s.id = m.sensor_id WHERE m.sensor_id = v.id AND`;
const SAMPLES = packedOf({
  before: `${VALUES} time < ${FROM} ORDER BY time DESC LIMIT 1`,
  inside: `${VALUES} time >= ${FROM} AND time < ${TO} ORDER BY time`,
  after: `${VALUES} time >= ${TO} ORDER BY time LIMIT 1`,
});
const SECONDS = `SELECT floor(extract(epoch FROM time))::bigint AS second, value IS NOT NULL AS alive
    FROM measurement WHERE ${OF_THESE}
  UNION ALL
  SELECT floor(extract(epoch FROM time))::bigint, true FROM measurement_text WHERE ${OF_THESE}`;
const COUNTED = `SELECT floor(extract(epoch FROM time) / 86400)::bigint AS day FROM measurement WHERE ${OF_THESE}
  UNION ALL SELECT floor(extract(epoch FROM time) / 86400)::bigint FROM measurement_text WHERE ${OF_THESE}`;
