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

const epoch = (interval: string) => `date_part('epoch', ${interval})`;

/**
 * Readings to 5-minute rows for `target(sensor_id, range_from, range_to, rebuild)`, in one pass over the readings of
 * each. `carry` gives (time, value) of the last reading before the range; its value is null after an error.
 */
const fromReadings = (carry: string) => `
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
    LEFT JOIN LATERAL (${carry}) c ON true
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

/** The last reading before the range, from the readings: exact whatever the rollups say. */
const CARRY_FROM_READINGS = `
      SELECT time, CASE WHEN ${USABLE} THEN value END AS value
        FROM public.measurement WHERE sensor_id = t.sensor_id AND time < t.range_from ORDER BY time DESC LIMIT 1`;

/** The same from the 5-minute row before: what is not exact there is marked, and the mark reaches into the range. */
const CARRY_FROM_ROLLUP = `
      SELECT last_time AS time, CASE WHEN NOT ended THEN last END AS value
        FROM public.rollup_5m WHERE sensor_id = t.sensor_id AND bucket < t.range_from ORDER BY bucket DESC LIMIT 1`;

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

/**
 * Longest stretch of {@link FORWARD_5M} in milliseconds: the microseconds of a key's time have to find room beside the
 * sensor.
 */
export const LONGEST_FORWARD_MS = 5 * 3_600_000;

const TIME_BITS = 35;
const TIME_MASK = 2n ** BigInt(TIME_BITS) - 1n;
const BUCKET_US = 300_000_000;
const at = (key: string) => `$1::timestamptz + (${key} & ${TIME_MASK}) * INTERVAL '1 microsecond'`;
const reading = (time: string) =>
  `(SELECT value FROM public.measurement m WHERE m.sensor_id = b.sensor_id AND m.time = ${time})`;

/**
 * Rolls up [$1, $2) of every numeric sensor without a `max_hold`, which no rollup has covered yet: the same figures as
 * {@link FORWARD_HELD_5M}, at half its cost, because readings are found by their time, where they lie together on
 * disk, and sorted by one number, sensor and microseconds since $1.
 */
export const FORWARD_5M = `
  WITH reading AS (
         SELECT (sensor_id::int8 << ${TIME_BITS})
                | round((date_part('epoch', time) - date_part('epoch', $1::timestamptz)) * 1e6)::int8 AS key,
                CASE WHEN ${USABLE} THEN value END AS v
           FROM public.measurement WHERE time >= $1 AND time < $2),
       step AS (
         SELECT key, v, lead(key) OVER (ORDER BY key) AS next,
                key - (key & ${TIME_MASK}) % ${BUCKET_US} + ${BUCKET_US} AS ends
           FROM reading),
       -- the next sensor's key is beyond every end of this one's buckets
       grouped AS (
         SELECT ends, count(v)::int AS n, sum(v) AS sum, var_pop(v) AS var, min(v) AS min, max(v) AS max,
                min(key) AS first_any, max(key) AS last_any,
                min(CASE WHEN v IS NOT NULL THEN key END) AS first_key,
                max(CASE WHEN v IS NOT NULL THEN key END) AS last_key,
                max(v) FILTER (WHERE next IS NULL OR next >= ends) AS final,
                coalesce(sum(CASE WHEN v IS NOT NULL THEN (least(next, ends) - key)::float8 END), 0) AS held_us,
                coalesce(sum(v * (least(next, ends) - key)::float8), 0) AS held
           FROM step GROUP BY ends),
       neighbours AS (
         SELECT *, (ends >> ${TIME_BITS})::int AS sensor_id, ends - ${BUCKET_US} AS begins,
                lag(last_any) OVER w AS before, lag(final) OVER w AS before_value
           FROM grouped WINDOW w AS (PARTITION BY ends >> ${TIME_BITS} ORDER BY ends)),
       carried AS (
         SELECT b.*, s.sample_interval, ${at("first_key")} AS first_time, ${at("last_key")} AS last_time,
                CASE WHEN b.before IS NULL THEN c.value ELSE b.before_value END AS lead_value,
                CASE WHEN b.before IS NULL AND c.value IS NULL OR b.before IS NOT NULL AND b.before_value IS NULL
                     THEN 0 ELSE first_any - begins END AS lead_us
           FROM neighbours b
           JOIN iot.sensors s ON s.id = b.sensor_id AND s.value_type IS DISTINCT FROM 'text' AND s.max_hold IS NULL
           LEFT JOIN LATERAL (SELECT CASE WHEN NOT ended THEN last END AS value
                                FROM public.rollup_5m r WHERE r.sensor_id = b.sensor_id AND r.bucket < $1
                               ORDER BY bucket DESC LIMIT 1) c ON b.before IS NULL),
       computed AS (
         SELECT sensor_id, ${at("begins")} AS bucket, n, sum, sum / nullif(n, 0) AS mean, var * n AS m2, min, max,
                CASE WHEN n = 1 THEN sum WHEN n > 1 THEN ${reading("b.first_time")} END AS first, first_time,
                CASE WHEN last_key = last_any THEN final WHEN n > 0 THEN ${reading("b.last_time")} END AS last, last_time,
                last_key IS DISTINCT FROM last_any AS ended, (held_us + lead_us) / 1e6 AS held_seconds,
                (held + coalesce(lead_value * lead_us, 0)) / nullif(held_us + lead_us, 0) AS time_weighted_avg,
                300 / ${epoch("sample_interval")} AS expected,
                CASE WHEN sample_interval IS NOT NULL
                     THEN least(1, n * ${epoch("sample_interval")} / 300) END AS coverage,
                0 AS late, ${ROLLUP_DEFINITION}::smallint AS definition
           FROM carried b)
  ${put("rollup_5m", COUNT_LATE)}`;

/** The same for the sensors that have a `max_hold`, one by one. */
export const FORWARD_HELD_5M = `
  WITH target AS (SELECT id AS sensor_id, $1::timestamptz AS range_from, $2::timestamptz AS range_to, true AS rebuild
                    FROM iot.sensors WHERE value_type IS DISTINCT FROM 'text' AND max_hold IS NOT NULL),
       computed AS (${fromReadings(CARRY_FROM_ROLLUP)})
  ${put("rollup_5m", COUNT_LATE)}`;

const RANGES = `range AS MATERIALIZED (SELECT * FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[], $4::bool[])
                                      AS r (sensor_id, range_from, range_to, rebuild))`;

/** Rolls up ranges ($1 sensors, $2 from, $3 to, $4 rebuild) anew; ranges of a sensor may not overlap. */
export const REPAIR_5M = `
  WITH ${RANGES}, target AS (SELECT * FROM range),
       computed AS MATERIALIZED (${fromReadings(CARRY_FROM_READINGS)}),
       gone AS (DELETE FROM public.rollup_5m old USING range r
                 WHERE old.sensor_id = r.sensor_id AND old.bucket >= r.range_from AND old.bucket < r.range_to
                   AND NOT EXISTS (SELECT FROM computed c WHERE c.sensor_id = old.sensor_id AND c.bucket = old.bucket))
  ${put("rollup_5m", COUNT_LATE)}`;

const HOUR = "date_bin(INTERVAL '1 hour', bucket, TIMESTAMPTZ '1970-01-01 00:00:00+00')";

/**
 * Hours that the ranges ($1 to $4) touch and that are over before $5, anew. After {@link REPAIR_5M} or
 * {@link FORWARD_5M}. What changed is due again in the tables that are made of hours.
 */
export const REPAIR_1H = `
  WITH ${RANGES},
       target AS MATERIALIZED (
         SELECT *, range_from + INTERVAL '1 hour' AS range_to FROM (
           SELECT b.sensor_id, ${HOUR} AS range_from FROM range r JOIN public.rollup_5m b
               ON b.sensor_id = r.sensor_id AND b.bucket >= r.range_from AND b.bucket < r.range_to
            UNION
           SELECT b.sensor_id, b.bucket FROM range r JOIN public.rollup_1h b
               ON b.sensor_id = r.sensor_id AND b.bucket > r.range_from - INTERVAL '1 hour' AND b.bucket < r.range_to) h
          WHERE range_from + INTERVAL '1 hour' <= $5::timestamptz),
       computed AS MATERIALIZED (${fromFiveMinutes(false)}),
       gone AS (DELETE FROM public.rollup_1h old USING target t
                 WHERE old.sensor_id = t.sensor_id AND old.bucket = t.range_from
                   AND NOT EXISTS (SELECT FROM computed c WHERE c.sensor_id = old.sensor_id AND c.bucket = old.bucket)
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
 * day of its sensor's zone goes away. After {@link REPAIR_5M} or {@link FORWARD_5M}.
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
       gone AS (DELETE FROM public.rollup_1d old USING (SELECT sensor_id, range_from, range_to FROM range
                                                       UNION SELECT sensor_id, range_from, range_to FROM target) t
                 WHERE old.sensor_id = t.sensor_id AND old.bucket >= t.range_from AND old.bucket < t.range_to
                   AND NOT EXISTS (SELECT FROM computed c WHERE c.sensor_id = old.sensor_id AND c.bucket = old.bucket))
  ${put("rollup_1d", "excluded.late", [...COLUMNS, "day"])}`;
