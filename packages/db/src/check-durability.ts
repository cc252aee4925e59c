import type { Log, Queries } from "./open-db.ts";

const SETTINGS = ["fsync", "synchronous_commit", "full_page_writes"] as const;

/**
 * Makes sure that a committed transaction survives a power cut as this session is set up.
 * @throws Error naming the setting and how to mend it, unless `allowUnsafe`; then it is logged
 */
export async function checkDurability(db: Queries, allowUnsafe: boolean, log?: Log): Promise<void> {
  const rows = await db.query<{ name: string; setting: string }>(
    "SELECT name, setting FROM pg_settings WHERE name = ANY ($1)",
    [SETTINGS],
  );
  const off = rows.filter(({ setting }) => setting === "off").map(({ name }) => name);
  if (off.length === 0) return;
  const message = `PostgreSQL runs with ${off.join(", ")} off: a power cut loses or damages what was acknowledged as stored`;
  if (!allowUnsafe) {
    throw new Error(
      `${message}. Set ${off.map((name) => `${name} = on`).join(", ")}, or SLUICE_ALLOW_UNSAFE=true to accept that`,
    );
  }
  log?.warn({ off }, message);
}
