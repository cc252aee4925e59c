import type { Queries } from "./open-db.ts";

/** A derived table: what identifies a row, and what is computed. Columns to their SQL types. */
export interface DerivedTable {
  readonly name: string;
  readonly keys: Readonly<Record<string, string>>;
  readonly values: Readonly<Record<string, string>>;
  /** A column that gets its default, the time, whenever the row changes. */
  readonly stamp?: string;
}

/** A row of a derived table; instants as ISO text, arrays and objects for JSON. */
export type DerivedRow = Readonly<Record<string, number | string | boolean | object | null>>;

/** A row that differs from what is stored. `old` is null where there is none; `new` is null where it goes away. */
export interface RowChange {
  readonly table: string;
  readonly key: DerivedRow;
  readonly old: DerivedRow | null;
  readonly new: DerivedRow | null;
}

/** Hourly figures of every sensor. */
export const HOURLY_TABLE: DerivedTable = {
  name: "bi.hourly_sensor_agg",
  keys: { sensor_id: "int", hour_start: "timestamptz" },
  values: {
    zone_id: "int",
    avg_value: "numeric",
    min_value: "numeric",
    max_value: "numeric",
    stddev_value: "numeric",
    reading_count: "int",
  },
};

/** Daily figures of every sensor, with how long plants had what they want. */
export const DAILY_TABLE: DerivedTable = {
  name: "bi.daily_sensor_agg",
  keys: { sensor_id: "int", metric_date: "date" },
  values: {
    ...HOURLY_TABLE.values,
    time_in_optimal_pct: "numeric",
    time_in_critical_pct: "numeric",
    time_weighted_optimal_pct: "numeric",
    time_weighted_critical_pct: "numeric",
  },
};

const names = (columns: Readonly<Record<string, string>>) => Object.keys(columns);
const typed = (columns: Readonly<Record<string, string>>) =>
  Object.entries(columns).map(([name, type]) => `${name} ${type}`);
const recordset = (table: DerivedTable) =>
  `jsonb_to_recordset($1::jsonb) AS n (${[...typed(table.keys), ...typed(table.values)].join(", ")})`;
const object = (alias: string, columns: readonly string[]) =>
  `jsonb_build_object(${columns.map((column) => `'${column}', ${alias}.${column}`).join(", ")})`;
const tuple = (alias: string, columns: readonly string[]) =>
  `(${columns.map((column) => `${alias}.${column}`).join(", ")})`;

/** What {@link upsertRows} with the same rows would change. */
export async function diffRows(
  tx: Queries,
  table: DerivedTable,
  rows: readonly DerivedRow[],
): Promise<RowChange[]> {
  const keys = names(table.keys);
  const values = names(table.values);
  const changes = await tx.query<Omit<RowChange, "table">>(
    `SELECT ${object("n", keys)} AS key, CASE WHEN o.${keys[0]} IS NOT NULL THEN ${object("o", values)} END AS old,
            ${object("n", values)} AS new
       FROM ${recordset(table)}
       LEFT JOIN ${table.name} o ON ${keys.map((key) => `o.${key} = n.${key}`).join(" AND ")}
      WHERE o.${keys[0]} IS NULL OR ${tuple("o", values)} IS DISTINCT FROM ${tuple("n", values)}
      ORDER BY ${keys.map((key) => `n.${key}`).join(", ")}`,
    [JSON.stringify(rows)],
  );
  return changes.map((change) => ({ table: table.name, ...change }));
}

/** Puts rows into a derived table; how many it changed. Those that say what is there already are not written. */
export function upsertRows(tx: Queries, table: DerivedTable, rows: readonly DerivedRow[]): Promise<number> {
  const keys = names(table.keys);
  const values = names(table.values);
  const changes = values.map((v) => `${v} = excluded.${v}`);
  if (table.stamp !== undefined) changes.push(`${table.stamp} = DEFAULT`);
  return tx.execute(
    `INSERT INTO ${table.name} AS o (${[...keys, ...values].join(", ")})
     SELECT ${[...keys, ...values].join(", ")} FROM ${recordset(table)} ORDER BY ${keys.join(", ")}
     ON CONFLICT (${keys.join(", ")}) DO UPDATE SET ${changes.join(", ")}
      WHERE ${tuple("o", values)} IS DISTINCT FROM ${tuple("excluded", values)}`,
    [JSON.stringify(rows)],
  );
}

/** What {@link deleteRows} with the same keys would take away. */
export async function diffDeletes(
  tx: Queries,
  table: DerivedTable,
  keys: readonly DerivedRow[],
): Promise<RowChange[]> {
  const columns = names(table.keys);
  const gone = await tx.query<{ key: DerivedRow; old: DerivedRow }>(
    `SELECT ${object("o", columns)} AS key, ${object("o", names(table.values))} AS old FROM ${table.name} o
       JOIN jsonb_to_recordset($1::jsonb) AS n (${typed(table.keys).join(", ")}) USING (${columns.join(", ")})
      ORDER BY ${columns.join(", ")}`,
    [JSON.stringify(keys)],
  );
  return gone.map((row) => ({ table: table.name, ...row, new: null }));
}

/** Takes rows out of a derived table by their keys; how many there were. */
export function deleteRows(tx: Queries, table: DerivedTable, keys: readonly DerivedRow[]): Promise<number> {
  const columns = names(table.keys);
  return tx.execute(
    `DELETE FROM ${table.name} o USING jsonb_to_recordset($1::jsonb) AS n (${typed(table.keys).join(", ")})
      WHERE ${columns.map((column) => `o.${column} = n.${column}`).join(" AND ")}`,
    [JSON.stringify(keys)],
  );
}
