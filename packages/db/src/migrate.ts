import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { OutageError } from "@sluice/shared-types";
import pg from "pg";
import type { Log, Row } from "./open-db.ts";
import { classify } from "./pg-errors.ts";
import { grantRoles } from "./roles.ts";

/** One file of `migrations/`. */
export interface Migration {
  number: number;
  name: string;
  sql: string;
  /** SHA-256 of `sql`. */
  checksum: string;
}

/** One connection that can run scripts of several statements. */
export interface MigrationSession {
  run(script: string): Promise<void>;
  query(text: string, params?: unknown[]): Promise<Row[]>;
}

const FOLDER = new URL("../migrations/", import.meta.url);
const LOCK = "hashtext('sluice.migrate')";

/** The migrations that come with this version, by number, which may have gaps. @throws Error where one is misnamed or doubled */
export async function readMigrations(): Promise<Migration[]> {
  const files = (await readdir(FOLDER)).filter((file) => file.endsWith(".sql")).sort();
  const migrations: Migration[] = [];
  for (const file of files) {
    const number = Number(/^(\d{3})-[a-z0-9-]+\.sql$/.exec(file)?.[1]);
    if (!(number > (migrations.at(-1)?.number ?? 0)))
      throw new Error(`migration ${file} is misnamed, or its number is taken`);
    const sql = (await readFile(new URL(file, FOLDER), "utf8")).replaceAll("\r\n", "\n");
    migrations.push({
      number,
      name: file.slice(0, -4),
      sql,
      checksum: createHash("sha256").update(sql).digest("hex"),
    });
  }
  return migrations;
}

/**
 * Brings the database at `url` up to this version, and resolves with the names of the migrations it applied.
 * Each runs in a transaction of its own, under a lock: several processes may call it at once. Uses TimescaleDB
 * where the server has it loaded. The roles of services, where there are any, get their rights on what is new.
 * @throws Error where an applied migration was changed since, or the database is of a newer version
 */
export async function migrate(url: string, options: { log?: Log } = {}): Promise<string[]> {
  const client = new pg.Client({ connectionString: url, application_name: "sluice-migrate" });
  client.on("error", () => {}); // reported by the query it breaks
  try {
    await client.connect();
    const applied = await applyMigrations(
      {
        run: async (script) => {
          await client.query(script);
        },
        query: async (text, params = []) => (await client.query(text, params)).rows,
      },
      await readMigrations(),
      options.log,
    );
    await grantRoles(url);
    return applied;
  } catch (error) {
    throw classify(error);
  } finally {
    await client.end().catch(() => {});
  }
}

/**
 * Names of migrations that the database at `url` does not have yet; changes nothing.
 * @throws Error as {@link migrate}
 */
export async function findMissingMigrations(url: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: url, application_name: "sluice-migrate" });
  client.on("error", () => {}); // reported by the query it breaks
  try {
    await client.connect();
    const migrations = await readMigrations();
    const { rows } = await client.query("SELECT to_regclass('public.sluice_migration') AS found");
    if (rows[0]?.found === null) return migrations.map(({ name }) => name);
    const applied = await readApplied(
      { query: async (text, params = []) => (await client.query(text, params)).rows },
      migrations,
    );
    return migrations.filter(({ number }) => !applied.has(number)).map(({ name }) => name);
  } catch (error) {
    throw classify(error);
  } finally {
    await client.end().catch(() => {});
  }
}

/** Applies what is missing of `migrations` through one session; resolves with their names. See {@link migrate}. */
export async function applyMigrations(
  session: MigrationSession,
  migrations: readonly Migration[],
  log?: Log,
): Promise<string[]> {
  await session.query(`SELECT pg_advisory_lock(${LOCK})`);
  try {
    await session.run(
      "CREATE TABLE IF NOT EXISTS public.sluice_migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())",
    );
    const applied = await readApplied(session, migrations);
    if (applied.size === 0) await loadTimescale(session, log);
    const missing = migrations.filter(({ number }) => !applied.has(number));
    for (const migration of missing) await applyOne(session, migration, log);
    return missing.map(({ name }) => name);
  } finally {
    await session.query(`SELECT pg_advisory_unlock(${LOCK})`).catch(() => {}); // ends with the session anyway
  }
}

async function readApplied(
  session: Pick<MigrationSession, "query">,
  migrations: readonly Migration[],
): Promise<Set<unknown>> {
  const rows = await session.query(
    "SELECT number, name, checksum FROM public.sluice_migration ORDER BY number",
  );
  for (const row of rows) {
    const known = migrations.find(({ number }) => number === row.number);
    if (!known) {
      throw new Error(
        `the database has migration ${row.name}, which this version does not know: use the newer version`,
      );
    }
    if (known.checksum !== row.checksum) {
      throw new Error(`migration ${known.name} was changed after it was applied to this database`);
    }
  }
  return new Set(rows.map(({ number }) => number));
}

async function applyOne(session: MigrationSession, migration: Migration, log?: Log): Promise<void> {
  await session.run("BEGIN");
  try {
    await session.run(migration.sql);
    await session.query("INSERT INTO public.sluice_migration (number, name, checksum) VALUES ($1, $2, $3)", [
      migration.number,
      migration.name,
      migration.checksum,
    ]);
    await session.run("COMMIT");
  } catch (error) {
    await session.run("ROLLBACK").catch(() => {}); // the connection may be what failed
    const fate = classify(error);
    if (fate instanceof OutageError) throw fate;
    throw new Error(`migration ${migration.name} failed: ${(error as Error).message}`, { cause: error });
  }
  log?.info({ migration: migration.name }, "migration applied");
}

/** Asking for the extension where it is not preloaded ends the session. Where it is installed already, it is used. */
async function loadTimescale(session: MigrationSession, log?: Log): Promise<void> {
  const [row] = await session.query(
    `SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb' AND installed_version IS NULL)
        AND current_setting('shared_preload_libraries') LIKE '%timescaledb%' AS loaded`,
  );
  if (row?.loaded !== true) return;
  try {
    await session.run("CREATE EXTENSION IF NOT EXISTS timescaledb");
    log?.info({}, "using TimescaleDB");
  } catch (error) {
    log?.warn({ err: error }, "TimescaleDB is there but may not be used: going on with plain partitions");
  }
}
