import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { openDb } from "@sluice/db";
import { findBinary, type Server, startPostgres } from "@sluice/servers";
import { createDatabase, waitFor } from "@sluice/testkit";

// Another user must get in: PostgreSQL refuses root.
const root = mkdtempSync(join(tmpdir(), "sluice-recovery-"));
chmodSync(root, 0o777);
const running: Server[] = [];
afterAll(async () => {
  await Promise.all(running.map((server) => server.stop()));
  rmSync(root, { recursive: true, force: true });
});

const start = async (options: Parameters<typeof startPostgres>[0]) => {
  const server = await startPostgres(options);
  running.push(server);
  return server;
};

/** The commands of docs/backup.md, on a server that archives its log. */
test("a database is recovered to the moment before a mistake, from a base backup and the archive", async () => {
  const archive = join(root, "archive");
  mkdirSync(archive);
  chmodSync(archive, 0o777);
  const settings = { archive_mode: "on", archive_command: `test ! -f ${archive}/%f && cp %p ${archive}/%f` };
  const server = await start({ dir: join(root, "first"), settings });
  const url = await createDatabase(server.url);
  const db = await openDb(url, { max: 2 });
  await db.execute("INSERT INTO core.system_config (key, value) VALUES ('before', '1')");

  const base = join(root, "base");
  const { hostname, port, password } = new URL(server.url);
  execFileSync(
    findBinary("pg_basebackup") ?? "",
    ["-h", hostname, "-p", port, "-U", "postgres", "-D", base, "--checkpoint=fast", "--wal-method=stream"],
    { env: { PGPASSWORD: decodeURIComponent(password) } },
  );
  await db.execute("INSERT INTO core.system_config (key, value) VALUES ('after', '2')");
  const [moment] = await db.query<{ at: string }>("SELECT clock_timestamp()::text AS at");
  await db.execute("SELECT pg_sleep(0.1)");
  await db.execute("DELETE FROM core.system_config WHERE key IN ('before', 'after')");
  const [wal] = await db.query<{ file: string }>("SELECT pg_walfile_name(pg_switch_wal()) AS file");
  await waitFor(() => readdirSync(archive).includes(wal?.file ?? ""), { timeoutMs: 30_000 });
  await db.close();
  await server.stop();

  const second = join(root, "second");
  cpSync(base, join(second, "data"), { recursive: true });
  writeFileSync(join(second, "data", "recovery.signal"), "");
  if (process.getuid?.() === 0) execFileSync("chown", ["-R", "postgres:postgres", join(second, "data")]);
  chmodSync(join(second, "data"), 0o700);
  const recovered = await start({
    dir: second,
    password: decodeURIComponent(password),
    settings: {
      restore_command: `cp ${archive}/%f %p`,
      recovery_target_time: moment?.at ?? "",
      recovery_target_action: "promote",
    },
  });
  const again = new URL(recovered.url);
  again.pathname = new URL(url).pathname;
  const restored = await openDb(again.href, { max: 1 });
  const rows = await restored.query<{ key: string }>(
    "SELECT key FROM core.system_config WHERE key IN ('before', 'after') ORDER BY key",
  );
  expect(rows.map(({ key }) => key)).toEqual(["after", "before"]);
  await restored.close();
});
