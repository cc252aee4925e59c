import { afterAll, beforeAll } from "@jest/globals";
import { type Db, openDb } from "@sluice/db";
import { createMachineStores, type MachineStores, type StoreSettings } from "@sluice/etl";
import { usePostgres } from "@sluice/testkit";

/** A row of the document's log: variable, `YYYY-MM-DD HH:MM[:SS]` in UTC, value. */
export type LogRow = readonly [id: number, at: string, value: number | string | null];

/** The document's source database beside our own. */
export interface MachineSource {
  db: Db;
  source: Db;
  settings: StoreSettings;
  stores: MachineStores;
  /** Replaces the log and forgets all figures. */
  log(...rows: readonly LogRow[]): Promise<void>;
  /** Puts rows into the log. */
  add(...rows: readonly LogRow[]): Promise<void>;
}

/** Variables of the document's machine, by id. */
const VARIABLES = {
  447: "ALARMS",
  597: "MACHINE_IN_OPERATION",
  540: "MACHINE_EMERGENCY",
  496: "OP_MODE_STANDBY",
  660: "MACHINE_STOP_ACTIVE",
  581: "PROG_STATUS",
  537: "AXIS_X_MOTOR_UTILIZACION",
  498: "AXIS_Y_MOTOR_UTILIZATION",
  620: "AXIS_Z_MOTOR_UTILIZACION",
  544: "SPINDLE_LOAD_1",
  651: "TEMPERATURA_BASE",
} as const;

const TABLES = `
  CREATE TABLE variable (id INTEGER PRIMARY KEY, name TEXT NOT NULL, datatype TEXT NOT NULL);
  CREATE TABLE variable_log_float (id_var INTEGER NOT NULL, date BIGINT NOT NULL, value REAL);
  CREATE TABLE variable_log_string (id_var INTEGER NOT NULL, date BIGINT NOT NULL, value TEXT);
  CREATE TABLE units (name TEXT, prettyname TEXT);
  CREATE INDEX ON variable_log_float (id_var, date);
  CREATE INDEX ON variable_log_string (id_var, date)`;

/** Makes both databases for the test file; use its members inside tests. */
export function useMachineSource(): MachineSource {
  const it = {} as MachineSource;
  const own = usePostgres();
  const document = usePostgres({ empty: true });
  beforeAll(async () => {
    it.db = await openDb(own.url, { max: 4 });
    it.source = await openDb(document.url, { max: 2 });
    await it.source.query(TABLES);
    await it.source.execute(
      `INSERT INTO variable SELECT key::int, value, CASE key WHEN '447' THEN 'java.lang.String' ELSE 'java.lang.Float' END
         FROM jsonb_each_text($1)`,
      [JSON.stringify(VARIABLES)],
    );
    it.settings = settingsOf(document.url);
    it.stores = createMachineStores(it.settings);
  });
  afterAll(async () => {
    await it.stores?.close();
    await it.source?.close();
    await it.db?.close();
  });
  it.add = async (...rows) => {
    const texts = rows.filter(([id]) => id === 447);
    const floats = rows.filter(([id]) => id !== 447);
    for (const [table, type, list] of [
      ["variable_log_float", "real", floats],
      ["variable_log_string", "text", texts],
    ] as const) {
      await it.source.execute(
        `INSERT INTO ${table} SELECT * FROM unnest($1::int[], $2::bigint[], $3::${type}[])`,
        [list.map(([id]) => id), list.map(([, at]) => ms(at)), list.map(([, , value]) => value)],
      );
    }
  };
  it.log = async (...rows) => {
    await it.source.query("TRUNCATE variable_log_float, variable_log_string");
    await it.db.query(
      `TRUNCATE agg_machine_activity_daily, agg_sensor_stats, alerts_daily_count, alerts_detail, machine_program_data,
         energy_consumption_hourly, agg_job_day, processing_jobs, etl_lease, etl_failed_window`,
    );
    await it.add(...rows);
  };
  return it;
}

/** An instant of a {@link LogRow}. */
export const ms = (at: string): number => Date.parse(`${at.replace(" ", "T")}Z`);

/** How a database is named in DB_HOST and so on. */
export function settingsOf(url: string): StoreSettings {
  const { hostname, port, username, password, pathname } = new URL(url);
  return {
    DB_HOST: hostname,
    DB_PORT: Number(port),
    DB_USER: decodeURIComponent(username),
    DB_PASSWORD: decodeURIComponent(password),
    DB_NAME: pathname.slice(1),
  };
}
