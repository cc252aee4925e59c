import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openBus } from "@sluice/bus";
import { isEmptyDatabase, leaveOldBus, migrate, openDb, readTableSums, type TableSum } from "@sluice/db";
import { CommandError } from "../command-error.ts";
import { acquireLock } from "../lock.ts";
import { ensureSecrets } from "../secrets.ts";
import { createJsonLog } from "../up/event-log.ts";
import { startServers } from "../up/server-set.ts";
import type { UpConfig } from "../up/up-config.ts";
import { replaceFile } from "../write-file.ts";
import { FILES, type Manifest, readManifest } from "./manifest.ts";
import { runPostgresProgram } from "./postgres-program.ts";
import { refillBus } from "./refill-bus.ts";

/** What was restored. */
export interface RestoreReport {
  takenAt: string;
  tables: number;
  rows: number;
  /** Tables that differ from what the backup says; none, or the restore failed. */
  different: string[];
  /** Messages put back onto the bus, by stream. Those that were stored meanwhile become duplicates. */
  messages: Record<string, number>;
  /** Migrations that this version has applied on top. */
  migrated: string[];
}

/**
 * Restores a backup into an empty data folder, or the empty servers that were given: roles, rows, what waited on the
 * bus, and where its streams stood. Starts the folder's servers for it and stops them again.
 * @throws CommandError where the target is not empty, the backup is damaged, or a table came out different
 */
export async function restoreBackup(folder: string, config: UpConfig): Promise<RestoreReport> {
  const manifest = await readManifest(folder);
  const { dataDir } = config;
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const release = acquireLock(dataDir);
  try {
    takeSecrets(folder, dataDir);
    const log = createJsonLog(() => {});
    const servers = await startServers({ ...config, services: [] }, ensureSecrets(dataDir), undefined, log);
    try {
      return await restoreInto(servers.postgresUrl, servers.busUrl, folder, manifest);
    } finally {
      await Promise.all(servers.private.map((server) => server.stop()));
    }
  } finally {
    release();
  }
}

/** The folder's own secrets must be those of the backup: its rows are hashed with them. */
function takeSecrets(folder: string, dataDir: string): void {
  const path = join(dataDir, "secrets.json");
  const left = readdirSync(dataDir).filter((name) => ["postgres", "redis", "influx"].includes(name));
  if (left.length > 0) {
    throw new CommandError(
      `${dataDir} has data (${left.join(", ")}): restore into an empty folder (--data-dir)`,
    );
  }
  const secrets = readFileSync(join(folder, FILES.secrets), "utf8");
  const pepperOf = (text: string) => (JSON.parse(text) as { pepper?: string }).pepper;
  if (existsSync(path) && pepperOf(readFileSync(path, "utf8")) !== pepperOf(secrets)) {
    throw new CommandError(`${path} is of another installation: move it away`);
  }
  // Of an installation on outside servers there is only the pepper; passwords of own servers are made anew.
  if ("postgresPassword" in JSON.parse(secrets)) replaceFile(path, secrets);
}

async function restoreInto(
  postgresUrl: string,
  busUrl: string,
  folder: string,
  manifest: Manifest,
): Promise<RestoreReport> {
  const db = await openDb(postgresUrl, { max: 2, applicationName: "sluice-restore" });
  const bus = await openBus(busUrl).catch(async (error: unknown) => {
    await db.close();
    throw error;
  });
  try {
    if (!(await isEmptyDatabase(db))) {
      throw new CommandError(
        "the database is not empty: restore into a new one (createdb), and drop the old one later",
      );
    }
    for (const { stream } of manifest.streams) {
      if ((await bus.lag(stream)).entries > 0)
        throw new CommandError(`the bus is not empty: ${stream} has entries`);
    }
    const dump = join(folder, FILES.database);
    const args = ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"];
    await runPostgresProgram("pg_restore", postgresUrl, [
      ...args,
      `--dbname=${new URL(postgresUrl).pathname.slice(1)}`,
      dump,
    ]);
    const different = differences(
      manifest.tables,
      await db.transaction(readTableSums, { statementTimeoutMs: 0 }),
    );
    if (different.length > 0) {
      throw new CommandError(`not what was backed up: ${different.slice(0, 5).join(", ")}`);
    }
    const messages = await refillBus(bus, join(folder, FILES.bus), manifest.streams, (publish) =>
      leaveOldBus(db, publish),
    );
    const migrated = await migrate(postgresUrl);
    return {
      takenAt: manifest.takenAt,
      tables: manifest.tables.length,
      rows: manifest.tables.reduce((sum, { rows }) => sum + rows, 0),
      different,
      messages,
      migrated,
    };
  } finally {
    await bus.close();
    await db.close();
  }
}

/** Names of tables whose rows are not the same. */
function differences(expected: readonly TableSum[], found: readonly TableSum[]): string[] {
  const sums = new Map(found.map(({ table, rows, checksum }) => [table, `${rows} ${checksum}`]));
  return expected
    .filter(({ table, rows, checksum }) => sums.get(table) !== `${rows} ${checksum}`)
    .map(({ table }) => table);
}
