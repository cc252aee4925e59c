/** Version of the definition of all rollup columns; raised when one changes its meaning. */
export const ROLLUP_DEFINITION = 1;

const COLUMNS = [
  "n",
  "sum",
  "mean",
  "m2",
  "min",
  "max",
  "first",
  "first_time",
  "last",
  "last_time",
  "ended",
  "held_seconds",
  "time_weighted_avg",
  "expected",
  "coverage",
  "late",
  "definition",
];

/**
 * What counts as a known value. Beyond 1e100 a square is no float8 any more: one such reading would stop the rollups of
 * all sensors. It is stored, but to them it is an error. NaN is greater than every number.
 */
export const USABLE = "status <> 'error' AND value > float8 '-1e100' AND value < float8 '1e100'";

/**
 * The reading of a sensor next to an instant: before it (`<`), after it (`>`), at or after it (`>=`). It is mostly within
 * a day: looking there first, and elsewhere only where nothing is found, spares most descents where the readings of
 * years have many partitions.
 */
export function neighbour(sensor: string, side: "<" | ">" | ">=", instant: string): string {
  const [order, near] = side === "<" ? ["DESC", "> $ - INTERVAL '1 day'"] : ["ASC", "< $ + INTERVAL '1 day'"];
  const nearest = (bound: string) => `(SELECT time, value, status FROM public.measurement
         WHERE sensor_id = ${sensor} AND time ${side} ${instant}${bound} ORDER BY time ${order} LIMIT 1)`;
  return `${nearest(` AND time ${near.replace("$", instant)}`)} UNION ALL ${nearest("")} LIMIT 1`;
}

const epoch = (interval: string) => `date_part('epoch', ${interval})`;

/**
 * Readings to 5-minute rows for `target(sensor_id, range_from, range_to, rebuild)`, in one pass over the readings of
 * each. What is carried in comes from the readings as well: exact whatever the rollups say.
 */
const FROM_READINGS = `
  SELECT t.sensor_id, x.bucket, x.n, x.sum, x.mean, x.m2, x.min, x.max,
         CASE WHEN x.n < x.rows THEN (SELECT value FROM public.measurement m
                                       WHERE m.sensor_id = t.sensor_id AND m.time = x.first_time) ELSE x.first END AS first,
         x.first_time,
         CASE WHEN x.n < x.rows THEN (SELECT value FROM public.measurement m
                                       WHERE m.sensor_id = t.sensor_id AND m.time = x.last_time) ELSE x.last END AS last,
         x.last_time, x.ended, x.held_seconds, x.held / nullif(x.held_seconds, 0) AS time_weighted_avg,
         300 / ${epoch("s.sample_interval")} AS expected,
         CASE WHEN s.sample_interval IS NOT NULL
              THEN least(1, x.n * ${epoch("s.sample_interval")} / 300) END AS coverage,
         CASE WHEN t.rebuild THEN 0 ELSE x.n END AS late, ${ROLLUP_DEFINITION}::smallint AS definition
    FROM target t
    JOIN iot.sensors s ON s.id = t.sensor_id
    LEFT JOIN LATERAL (
      SELECT time, CASE WHEN ${USABLE} THEN value END AS value
        FROM (${neighbour("t.sensor_id", "<", "t.range_from")}) before) c ON true
   CROSS JOIN LATERAL (
    SELECT bucket, count(v)::int AS n, count(*) AS rows, sum(v) AS sum, avg(v) AS mean,
           var_pop(v) * count(v) AS m2, min(v) AS min, max(v) AS max,
           max(v) FILTER (WHERE before IS NULL OR before < bucket) AS first,
           min(time) FILTER (WHERE v IS NOT NULL) AS first_time,
           max(v) FILTER (WHERE after IS NULL OR after >= bucket + INTERVAL '5 minutes') AS last,
           max(time) FILTER (WHERE v IS NOT NULL) AS last_time,
           bool_or(v IS NULL) FILTER (WHERE after IS NULL OR after >= bucket + INTERVAL '5 minutes') AS ended,
           coalesce(sum(length) FILTER (WHERE v IS NOT NULL), 0) + coalesce(sum(lead_in), 0) AS held_seconds,
           coalesce(sum(v * length), 0) + coalesce(sum(before_value * lead_in), 0) AS held
      FROM (SELECT *, ${epoch("least(after, bucket + INTERVAL '5 minutes', time + s.max_hold) - time")} AS length,
                   CASE WHEN before < bucket AND before_value IS NOT NULL
                        THEN greatest(0, ${epoch("least(time, before + s.max_hold) - bucket")}) END AS lead_in
              FROM (SELECT time, v, bucket, lead(time) OVER w AS after,
                           coalesce(lag(time) OVER w, c.time) AS before,
                           CASE WHEN lag(time) OVER w IS NULL THEN c.value ELSE lag(v) OVER w END AS before_value
                      FROM (SELECT time, date_bin(INTERVAL '5 minutes', time, TIMESTAMPTZ '1970-01-01 00:00:00+00') AS bucket,
                                   CASE WHEN ${USABLE}
                                        THEN value END AS v
                              FROM public.measurement
                             WHERE sensor_id = t.sensor_id AND time >= t.range_from AND time < t.range_to) reading
                    WINDOW w AS (ORDER BY time)) neighbours) steps
     GROUP BY bucket) x`;

/** 5-minute rows to one row for each of `target(sensor_id, range_from, range_to, day)`, whatever its length. */
const fromFiveMinutes = (day: boolean) => `
  SELECT t.sensor_id, t.range_from AS bucket, x.n, x.sum, x.mean, x.m2, x.min, x.max, x.first, x.first_time, x.last,
         x.last_time, x.ended, x.held_seconds, x.held / nullif(x.held_seconds, 0) AS time_weighted_avg,
         ${epoch("t.range_to - t.range_from")} / ${epoch("s.sample_interval")} AS expected,
         CASE WHEN s.sample_interval IS NOT NULL
              THEN least(1, x.n * ${epoch("s.sample_interval")} / ${epoch("t.range_to - t.range_from")}) END AS coverage,
         x.late, ${ROLLUP_DEFINITION}::smallint AS definition${day ? ", t.day" : ""}
    FROM target t
    JOIN iot.sensors s ON s.id = t.sensor_id
    LEFT JOIN LATERAL (SELECT bucket, last_time, CASE WHEN NOT ended THEN last END AS value
                         FROM public.rollup_5m WHERE sensor_id = t.sensor_id AND bucket < t.range_from
                        ORDER BY bucket DESC LIMIT 1) c ON true
   CROSS JOIN LATERAL (
    SELECT sum(n)::int AS n, sum(sum) AS sum, sum(sum) / nullif(sum(n), 0) AS mean,
           -- Chan's merge of any number of parts
           sum(m2 + n * (mean - whole_mean) * (mean - whole_mean)) AS m2, min(min) AS min, max(max) AS max,
           (array_agg(first ORDER BY bucket) FILTER (WHERE n > 0))[1] AS first, min(first_time) AS first_time,
           (array_agg(last ORDER BY bucket DESC) FILTER (WHERE n > 0))[1] AS last, max(last_time) AS last_time,
           bool_or(ended) FILTER (WHERE after IS NULL) AS ended, sum(late)::int AS late,
           sum(held_seconds + coalesce(trail, 0) + coalesce(lead_in, 0)) AS held_seconds,
           sum(coalesce(time_weighted_avg * held_seconds, 0) + coalesce(last * trail, 0)
               + coalesce(before_value * lead_in, 0)) AS held
      FROM (SELECT *, CASE WHEN NOT ended AND last IS NOT NULL THEN
                        greatest(0, ${epoch("least(coalesce(after, t.range_to), last_time + s.max_hold) - (bucket + INTERVAL '5 minutes')")})
                      END AS trail,
                   CASE WHEN first_row AND c.value IS NOT NULL THEN
                        greatest(0, ${epoch("least(bucket, c.last_time + s.max_hold) - t.range_from")}) END AS lead_in,
                   c.value AS before_value
              FROM (SELECT *, lead(bucket) OVER w AS after, row_number() OVER w = 1 AS first_row,
                           sum(sum) OVER () / nullif(sum(n) OVER (), 0) AS whole_mean
                      FROM public.rollup_5m
                     WHERE sensor_id = t.sensor_id AND bucket >= t.range_from AND bucket < t.range_to
                    WINDOW w AS (ORDER BY bucket)) row) parts
    HAVING count(*) > 0) x`;

/** Puts `computed` in the place of what `table` has; rows that stay the same are not written. */
const put = (table: string, late: string, columns: readonly string[] = COLUMNS) => `
  INSERT INTO public.${table} AS old (sensor_id, bucket, ${columns.join(", ")})
  SELECT sensor_id, bucket, ${columns.join(", ")} FROM computed
  ON CONFLICT (sensor_id, bucket) DO UPDATE SET
    ${columns.map((column) => (column === "late" ? `late = ${late}` : `${column} = excluded.${column}`)).join(", ")}
   WHERE (${columns.map((column) => (column === "late" ? late : `excluded.${column}`)).join(", ")})
         IS DISTINCT FROM (${columns.map((column) => `old.${column}`).join(", ")})`;

/** A bucket rolled up again has as many late readings more as it has readings more, unless it is rebuilt. */
const COUNT_LATE = "old.late + CASE WHEN excluded.late > 0 THEN greatest(0, excluded.n - old.n) ELSE 0 END";

const after = (us: string) => `$1::timestamptz + ${us} * INTERVAL '1 microsecond'`;

/**
 * Puts 5-minute rows that were made elsewhere: arrays of sensors ($2), buckets, n, sum, m2, min, max, first, first_time,
 * last, last_time, ended, held_seconds and the sum of value times seconds ($15). Times are microseconds after $1.
 */
export const PUT_5M = `
  WITH computed AS (
         SELECT b.sensor_id, ${after("b.bucket_us")} AS bucket, n, sum, sum / nullif(n, 0) AS mean, m2, min, max, first,
                ${after("b.first_us")} AS first_time, last, ${after("b.last_us")} AS last_time, ended, held_seconds,
                held / nullif(held_seconds, 0) AS time_weighted_avg, 300 / ${epoch("s.sample_interval")} AS expected,
                CASE WHEN s.sample_interval IS NOT NULL
                     THEN least(1, n * ${epoch("s.sample_interval")} / 300) END AS coverage,
                0 AS late, ${ROLLUP_DEFINITION}::smallint AS definition
           FROM unnest($2::int[], $3::float8[], $4::int[], $5::float8[], $6::float8[], $7::float8[], $8::float8[],
                       $9::float8[], $10::float8[], $11::float8[], $12::float8[], $13::bool[], $14::float8[], $15::float8[])
                AS b (sensor_id, bucket_us, n, sum, m2, min, max, first, first_us, last, last_us, ended, held_seconds, held)
           JOIN iot.sensors s ON s.id = b.sensor_id)
  ${put("rollup_5m", COUNT_LATE)}`;

/** Buckets of a range `r`, by the index: joined by sensor first they would be compared with every range of theirs. */
const within = (table: string, from = "r.range_from") =>
  `SELECT bucket FROM public.${table} b
    WHERE b.sensor_id = r.sensor_id AND b.bucket >= ${from} AND b.bucket < r.range_to OFFSET 0`;

/** Deletes from `old` what is in `ranges` and was not computed. */
const takeAway = (table: string, ranges: string) =>
  `DELETE FROM public.${table} old
    USING (SELECT r.sensor_id, b.bucket FROM (${ranges}) r CROSS JOIN LATERAL (${within(table)}) b
           EXCEPT SELECT sensor_id, bucket FROM computed) nothing
    WHERE old.sensor_id = nothing.sensor_id AND old.bucket = nothing.bucket`;

const RANGES = `range AS MATERIALIZED (SELECT * FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[], $4::bool[])
                                      AS r (sensor_id, range_from, range_to, rebuild))`;

/** Rolls up ranges ($1 sensors, $2 from, $3 to, $4 rebuild) anew; ranges of a sensor may not overlap. */
export const REPAIR_5M = `
  WITH ${RANGES}, target AS (SELECT * FROM range),
       computed AS MATERIALIZED (${FROM_READINGS}),
       gone AS (${takeAway("rollup_5m", "SELECT sensor_id, range_from, range_to FROM range")})
  ${put("rollup_5m", COUNT_LATE)}`;

const hourOf = (time: string) => `date_bin(INTERVAL '1 hour', ${time}, TIMESTAMPTZ '1970-01-01 00:00:00+00')`;

/**
 * Hours that the ranges ($1 to $4) touch and that are over before $5, anew. After {@link REPAIR_5M} or
 * {@link PUT_5M}. What changed is due again in the tables that are made of hours.
 */
export const REPAIR_1H = `
  WITH ${RANGES},
       target AS MATERIALIZED (
         SELECT *, range_from + INTERVAL '1 hour' AS range_to FROM (
           SELECT r.sensor_id, ${hourOf("bucket")} AS range_from FROM range r
            CROSS JOIN LATERAL (${within("rollup_5m")}) b
            UNION
           SELECT r.sensor_id, b.bucket FROM range r
            CROSS JOIN LATERAL (${within("rollup_1h", hourOf("r.range_from"))}) b) h
          WHERE range_from + INTERVAL '1 hour' <= $5::timestamptz),
       computed AS MATERIALIZED (${fromFiveMinutes(false)}),
       gone AS (${takeAway("rollup_1h", "SELECT sensor_id, range_from, range_to FROM target")}
                RETURNING old.sensor_id, old.bucket),
       changed AS (${put("rollup_1h", "excluded.late")} RETURNING sensor_id, bucket)
  INSERT INTO bi.due (job, sensor_id, bucket)
  SELECT j.job, t.sensor_id, date_bin(j.step, t.bucket, TIMESTAMPTZ '1970-01-01 00:00:00+00')
    FROM (SELECT * FROM changed UNION SELECT * FROM gone) t
    JOIN bi.due_job j ON true
    JOIN core.system_config c ON c.key = j.watermark_key AND t.bucket < (c.value ->> 'timestamp')::timestamptz
  ON CONFLICT DO NOTHING`;

/**
 * Days that the ranges ($1 to $4) touch, of the calendar $5 zones, $6 from, $7 to, $8 dates, anew. A row that is no
 * day of its sensor's zone goes away. After {@link REPAIR_5M} or {@link PUT_5M}.
 */
export const REPAIR_1D = `
  WITH ${RANGES},
       calendar AS MATERIALIZED (SELECT * FROM unnest($5::text[], $6::timestamptz[], $7::timestamptz[], $8::date[])
                                          AS c (zone, range_from, range_to, day)),
       target AS MATERIALIZED (
         SELECT DISTINCT r.sensor_id, c.range_from, c.range_to, c.day
           FROM range r JOIN iot.sensors s ON s.id = r.sensor_id JOIN iot.devices d ON d.id = s.device_id
           JOIN core.facilities f ON f.id = d.facility_id
           JOIN calendar c ON c.zone = f.timezone AND c.range_from < r.range_to AND c.range_to > r.range_from),
       computed AS MATERIALIZED (${fromFiveMinutes(true)}),
       gone AS (${takeAway("rollup_1d", "SELECT sensor_id, range_from, range_to FROM range UNION SELECT sensor_id, range_from, range_to FROM target")})
  ${put("rollup_1d", "excluded.late", [...COLUMNS, "day"])}`;
