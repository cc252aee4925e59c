import type { Db } from "@sluice/db";

/** The hours of a node of the water network that the cycle has computed. */
export const listWaterHours = (db: Db, node: string) =>
  db.query<{ start: Date; flow: number; volume: number }>(
    `SELECT window_start AS start, avg_flow_rate::float8 AS flow, total_volume::float8 AS volume
       FROM water_infrastructure.computed_metrics WHERE node_id = $1 AND time_window = '1hour' ORDER BY 1`,
    [node],
  );
