import type { Queries } from "./open-db.ts";

const SENSORS_AT_ONCE = 1000;

/**
 * Finds out how often sensors send, for those of which nobody has said it: the median distance of their latest readings
 * within a day, where at least twenty of them agree by a quarter. What is irregular stays unknown. Their rollups are
 * marked, to get what is expected of them. Resolves with how many were found.
 */
export function learnSampleIntervals(db: Queries, nowMs: number): Promise<number> {
  return db.execute(
    `UPDATE iot.sensors s
        SET sample_interval = CASE WHEN g.middle >= 2 THEN round(g.middle) ELSE round(g.middle::numeric, 2) END * INTERVAL '1 s'
       FROM (SELECT u.id, percentile_cont(0.25) WITHIN GROUP (ORDER BY gap) AS low,
                    percentile_cont(0.5) WITHIN GROUP (ORDER BY gap) AS middle,
                    percentile_cont(0.75) WITHIN GROUP (ORDER BY gap) AS high, count(gap) AS gaps
               FROM (SELECT id FROM iot.sensors WHERE sample_interval IS NULL AND value_type IS DISTINCT FROM 'text'
                      ORDER BY random() LIMIT $2) u
              CROSS JOIN LATERAL (
                SELECT date_part('epoch', time - lag(time) OVER (ORDER BY time)) AS gap
                  FROM (SELECT time FROM public.measurement
                         WHERE sensor_id = u.id AND time >= $1::timestamptz - INTERVAL '1 day' AND time < $1
                         ORDER BY time DESC LIMIT 101) latest) d
              GROUP BY u.id) g
      WHERE s.id = g.id AND s.sample_interval IS NULL AND g.gaps >= 20 AND g.middle >= 0.01
        AND g.low >= 0.8 * g.middle AND g.high <= 1.25 * g.middle`,
    [new Date(nowMs), SENSORS_AT_ONCE],
  );
}
