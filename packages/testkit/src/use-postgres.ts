import { randomBytes } from "node:crypto";
import { migrate, openDb } from "@sluice/db";
import { type PostgresOptions, type Server, startPostgres } from "@sluice/servers";
import { OutageError } from "@sluice/shared-types";
import { useServer } from "./use-server.ts";
import { waitFor } from "./wait-for.ts";

/** A fresh database. */
export interface TestDatabase {
  readonly url: string;
  readonly port: number;
}

/** What {@link usePostgres} gives. */
export interface DatabaseOptions extends PostgresOptions {
  /** Leave the database empty instead of migrated. */
  empty?: boolean;
}

const TEMPLATE = "sluice_template";

/**
 * A fresh, migrated database for this test file, cloned from a template in the PostgreSQL that the whole
 * test run shares. It does not sync to disk; for faults of the server take {@link usePrivatePostgres}.
 */
export function usePostgres(options: { empty?: boolean } = {}): TestDatabase {
  return useServer(async () => {
    const shared = await sharedPostgresUrl();
    const server = shared === undefined ? await startPostgres({ settings: { fsync: "off" } }) : undefined;
    const url = await createDatabase(shared ?? server?.url ?? "", options.empty ?? false);
    return {
      url,
      port: Number(new URL(url).port),
      stop: async () => (server === undefined ? await dropDatabase(url) : await server.stop()),
    };
  });
}

/** A PostgreSQL of its own for this test file, which may be killed and restarted; `url` is a migrated database. */
export function usePrivatePostgres(options: DatabaseOptions = {}): Server {
  return useServer(async () => {
    const server = await startPostgres(options);
    const url = await createDatabase(server.url, options.empty ?? false);
    return Object.create(server, { url: { value: url } });
  });
}

/** Makes a database of a random name on the server at `adminUrl`, migrated unless `empty`; resolves with its url. */
export async function createDatabase(adminUrl: string, empty = false): Promise<string> {
  const name = `test_${randomBytes(6).toString("hex")}`;
  const admin = await openDb(adminUrl, { max: 2 });
  try {
    if (empty) {
      await admin.query(`CREATE DATABASE ${name}`);
    } else {
      // One builder at a time in all test processes; CREATE DATABASE itself may not be in a transaction.
      await admin.transaction(
        async (lock) => {
          await lock.query("SELECT pg_advisory_xact_lock(hashtext('sluice.testkit'))");
          await ensureTemplate(admin, adminUrl);
          await waitFor(() => cloneDatabase(admin, name), {
            what: "the template database",
            timeoutMs: 30_000,
          });
        },
        { lockTimeoutMs: 60_000 },
      );
    }
  } finally {
    await admin.close();
  }
  return withDatabase(adminUrl, name);
}

type Admin = Awaited<ReturnType<typeof openDb>>;

async function ensureTemplate(admin: Admin, adminUrl: string): Promise<void> {
  const found = await admin.query("SELECT FROM pg_database WHERE datname = $1", [TEMPLATE]);
  if (found.length > 0) return;
  const draft = `${TEMPLATE}_draft`;
  await admin.query(`DROP DATABASE IF EXISTS ${draft} WITH (FORCE)`);
  await admin.query(`CREATE DATABASE ${draft}`);
  await migrate(withDatabase(adminUrl, draft));
  await waitFor(() => succeeds(admin.query(`ALTER DATABASE ${draft} RENAME TO ${TEMPLATE}`)));
}

/** Sessions that just ended are counted as users of the template for a moment longer. */
function cloneDatabase(admin: Admin, name: string): Promise<boolean> {
  return succeeds(admin.query(`CREATE DATABASE ${name} TEMPLATE ${TEMPLATE}`));
}

async function succeeds(query: Promise<unknown>): Promise<boolean> {
  try {
    await query;
    return true;
  } catch (error) {
    if (error instanceof OutageError || /being accessed|55006/.test(String(error))) return false;
    throw error;
  }
}

async function dropDatabase(url: string): Promise<void> {
  const admin = await openDb(withDatabase(url, "postgres"), { max: 1 });
  await admin.query(`DROP DATABASE IF EXISTS ${new URL(url).pathname.slice(1)} WITH (FORCE)`);
  await admin.close();
}

async function sharedPostgresUrl(): Promise<string | undefined> {
  const front = process.env.TEST_POSTGRES_FRONT;
  if (front === undefined) return undefined;
  const response = await fetch(front);
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return text;
}

function withDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}
