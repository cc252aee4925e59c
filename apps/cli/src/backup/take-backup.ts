import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { openDb, readTableSums, withSnapshot } from "@sluice/db";
import { CommandError } from "../command-error.ts";
import type { Connection } from "../connect.ts";
import { replaceFile } from "../write-file.ts";
import { keepBus } from "./keep-bus.ts";
import { checksumOf, FILES, type Manifest } from "./manifest.ts";
import { runPostgresProgram } from "./postgres-program.ts";

/** Where and how many. */
export interface BackupOptions {
  /** The folder that backups are made in, each in one of its own. */
  folder: string;
  /** Older ones beyond this many are removed, once the new one is complete. */
  keep?: number;
}

/** A backup that is complete. */
export interface TakenBackup {
  path: string;
  manifest: Manifest;
  removed: string[];
}

const NAME = /^sluice-\d{8}T\d{6}Z$/;

/**
 * Takes a backup while everything runs: everything accepted before the call is in it, as rows or as entries of the
 * bus. It appears under its name only when it is complete; one that was cut leaves a folder that ends in `.partial`.
 */
export async function takeBackup(connection: Connection, options: BackupOptions): Promise<TakenBackup> {
  const takenAt = new Date();
  const name = `sluice-${takenAt.toISOString().replace(/[-:]|\.\d+/g, "")}`;
  const path = join(options.folder, name);
  const draft = `${path}.partial`;
  if (existsSync(path) || existsSync(draft))
    throw new CommandError(`${path} is there already: try again in a second`);
  mkdirSync(draft, { recursive: true, mode: 0o700 });
  const bus = await connection.openBus();
  const streams = await keepBus(bus, join(draft, FILES.bus)).finally(() => bus.close());
  const database = await keepDatabase(connection.urls.postgres, join(draft, FILES.database));
  keepSecrets(connection, join(draft, FILES.secrets));
  const files: Record<string, string> = {};
  for (const file of [FILES.bus, FILES.database, FILES.secrets]) {
    chmodSync(join(draft, file), 0o600);
    files[file] = await checksumOf(join(draft, file));
  }
  const manifest: Manifest = { format: 1, takenAt: takenAt.toISOString(), ...database, streams, files };
  writeFileSync(join(draft, FILES.manifest), `${JSON.stringify(manifest, null, 2)}\n`, {
    mode: 0o600,
    flush: true,
  });
  renameSync(draft, path);
  return { path, manifest, removed: removeOld(options.folder, options.keep) };
}

async function keepDatabase(url: string, file: string) {
  const db = await openDb(url, { max: 2, applicationName: "sluice-backup" });
  try {
    return await withSnapshot(db, async ({ name, walPosition, tx }) => {
      const [applied] = await tx.query<{ n: number }>("SELECT count(*) AS n FROM public.sluice_migration");
      // The sums are taken while the dump is written: both see this one instant.
      const [tables] = await Promise.all([
        readTableSums(tx),
        runPostgresProgram("pg_dump", url, ["--format=custom", `--snapshot=${name}`, `--file=${file}`]),
      ]);
      return { walPosition, migrations: applied?.n ?? 0, tables };
    });
  } finally {
    await db.close();
  }
}

/** Without the pepper no device could log in to the restored registry. */
function keepSecrets(connection: Connection, file: string): void {
  const own = join(connection.dataDir, "secrets.json");
  if (existsSync(own)) copyFileSync(own, file);
  else replaceFile(file, `${JSON.stringify({ pepper: connection.pepper() })}\n`);
}

function removeOld(folder: string, keep: number | undefined): string[] {
  if (keep === undefined) return [];
  const old = readdirSync(folder)
    .filter((name) => NAME.test(name))
    .sort()
    .slice(0, -keep);
  for (const name of old) rmSync(join(folder, name), { recursive: true });
  return old.map((name) => join(folder, name));
}
