import { type Db, openDb, readMigrations } from "@sluice/db";
import { compareClocks } from "./check-redis.ts";
import { type Finding, fine, problem, warning } from "./finding.ts";

const DURABLE = ["synchronous_commit", "fsync", "full_page_writes"] as const;

/** Version, durability, schema and clock of PostgreSQL. */
export async function checkPostgres(url: string): Promise<Finding[]> {
  let db: Db;
  try {
    db = await openDb(url, { max: 1, applicationName: "sluice-doctor" });
  } catch (error) {
    const found = `cannot be reached: ${error instanceof Error ? error.message : String(error)}`;
    return [problem("postgres", found, "start it, or correct DATABASE_URL")];
  }
  try {
    return [await checkVersion(db), await checkDurability(db), await checkSchema(db), await checkTime(db)];
  } finally {
    await db.close();
  }
}

async function checkVersion(db: Db): Promise<Finding> {
  const [row] = await db.query<{ number: string; text: string }>(
    "SELECT current_setting('server_version_num') AS number, current_setting('server_version') AS text",
  );
  const text = row?.text ?? "?";
  return Number(row?.number) >= 150_000
    ? fine("postgres version", text)
    : problem("postgres version", text, "install PostgreSQL 15 or newer");
}

async function checkDurability(db: Db): Promise<Finding> {
  const rows = await db.query<{ name: string; setting: string }>(
    "SELECT name, setting FROM pg_settings WHERE name = ANY($1) ORDER BY name",
    [DURABLE],
  );
  const off = rows.filter(({ setting }) => setting === "off").map(({ name }) => name);
  if (off.length === 0)
    return fine("postgres durability", rows.map(({ name, setting }) => `${name} ${setting}`).join(", "));
  const mend = `${off.map((name) => `${name} = on`).join(", ")} in postgresql.conf, then SELECT pg_reload_conf()`;
  return problem(
    "postgres durability",
    `${off.join(", ")} off: a crash loses rows that were acknowledged`,
    mend,
  );
}

async function checkSchema(db: Db): Promise<Finding> {
  const known = await readMigrations();
  const [row] = await db.query<{ there: string | null }>(
    "SELECT to_regclass('public.sluice_migration')::text AS there",
  );
  const applied = row?.there ? await db.query("SELECT FROM public.sluice_migration") : [];
  const found = `${applied.length} of ${known.length} migrations are applied`;
  if (applied.length === known.length) return fine("postgres schema", found);
  return applied.length < known.length
    ? problem("postgres schema", found, "./sluice migrate")
    : problem("postgres schema", found, "the database is of a newer Sluice: use that version");
}

async function checkTime(db: Db): Promise<Finding> {
  const askedAtMs = Date.now();
  const [row] = await db.query<{ ms: number }>(
    "SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS ms",
  );
  return row === undefined
    ? warning("postgres clock", "unknown", "ask again")
    : compareClocks("postgres clock", row.ms, askedAtMs);
}
