import { OutageError, type Resource } from "@sluice/shared-types";
import pg from "pg";
import { copyIn } from "./copy-in.ts";
import { classify, isAnswer } from "./pg-errors.ts";

/** The part of a logger that packages need. */
export interface Log {
  debug(obj: object, msg: string): void;
  info(obj: object, msg: string): void;
  warn(obj: object, msg: string): void;
  error(obj: object, msg: string): void;
}

/** A row: column names to values. `int8` comes as number, `timestamptz` as Date. */
export type Row = Record<string, unknown>;

/** Something that runs SQL. Errors come classified: InvalidInputError, OutageError, or a defect. */
export interface Queries {
  /** Rows of one statement. A Buffer parameter is sent in PostgreSQL's binary format of its type. */
  query<R = Row>(text: string, params?: readonly unknown[]): Promise<R[]>;
  /** How many rows one statement touched. */
  execute(text: string, params?: readonly unknown[]): Promise<number>;
}

/**
 * An open transaction on one connection. Statements are carried out in the order in which they are made; one that does not
 * need the answer to the one before may be made without waiting for it, so that both share a round trip.
 */
export interface Transaction extends Queries {
  /** Runs `fn`; if it fails, everything it did is undone and the transaction goes on. */
  savepoint<T>(fn: () => Promise<T>): Promise<T>;
  /** Sends `data` (binary COPY format, complete) for `statement` (`COPY … FROM STDIN (FORMAT binary)`); rows copied. */
  copyIn(statement: string, data: Buffer): Promise<number>;
}

/** How long a transaction may wait for a lock, and run one statement. */
export interface TransactionLimits {
  lockTimeoutMs?: number;
  statementTimeoutMs?: number;
}

/** A pool of connections to PostgreSQL. */
export interface Db extends Resource, Queries {
  /** Where it is connected to. */
  readonly url: string;
  /**
   * Runs `fn` in one transaction and resolves once the COMMIT is confirmed. If `fn` rejects, everything is rolled
   * back. An OutageError from the COMMIT itself leaves open whether it happened.
   */
  transaction<T>(fn: (tx: Transaction) => Promise<T>, limits?: TransactionLimits): Promise<T>;
}

/** Options of {@link openDb}. */
export interface DbOptions {
  /** Most connections open at once. */
  max?: number;
  log?: Log;
  /** Name shown in `pg_stat_activity`. */
  applicationName?: string;
  /** How long one statement may go without an answer; three minutes by default. */
  answerTimeoutMs?: number;
}

const READ_TIMEOUT_MS = 180_000;
const INT8 = 20;

const types: pg.CustomTypesConfig = {
  getTypeParser: ((id: number, format?: "text" | "binary") =>
    id === INT8 && format !== "binary" ? Number : pg.types.getTypeParser(id, format)) as never,
};

/**
 * Opens a pool and makes sure that the server answers. The caller closes it.
 * @throws OutageError where it cannot be reached
 */
export async function openDb(url: string, options: DbOptions = {}): Promise<Db> {
  const pool = new pg.Pool({
    connectionString: url,
    max: options.max ?? 5,
    connectionTimeoutMillis: 10_000,
    query_timeout: options.answerTimeoutMs ?? READ_TIMEOUT_MS,
    keepAlive: true,
    pipeline: true,
    application_name: options.applicationName ?? "sluice",
    types,
  });
  pool.on("error", (error) => options.log?.warn({ err: error }, "idle connection to postgres lost"));
  const db = createDb(url, pool);
  try {
    await db.ping();
  } catch (error) {
    await pool.end();
    throw error;
  }
  return db;
}

function createDb(url: string, pool: pg.Pool): Db {
  let closing: Promise<void> | undefined;
  const queries = createQueries((query) => pool.query(query));
  return {
    url,
    ...queries,
    ping: async () => {
      await queries.query("SELECT 1");
    },
    close: () => {
      closing ??= pool.end();
      return closing;
    },
    transaction: (fn, limits = {}) => runTransaction(pool, fn, limits),
  };
}

function createQueries(run: (query: pg.QueryConfig) => Promise<pg.QueryResult>): Queries {
  const result = async (text: string, params: readonly unknown[] = []): Promise<pg.QueryResult> => {
    try {
      return await run({ text, values: params as unknown[] });
    } catch (error) {
      throw classify(error);
    }
  };
  return {
    query: async <R>(text: string, params?: readonly unknown[]) => (await result(text, params)).rows as R[],
    execute: async (text, params) => (await result(text, params)).rowCount ?? 0,
  };
}

async function runTransaction<T>(
  pool: pg.Pool,
  fn: (tx: Transaction) => Promise<T>,
  limits: TransactionLimits,
): Promise<T> {
  const client = await connect(pool);
  let broken: Error | undefined;
  const onError = (error: Error) => {
    broken = error;
  };
  client.on("error", onError);
  try {
    await client.query(
      `BEGIN; SET LOCAL lock_timeout = ${limits.lockTimeoutMs ?? 15_000}; SET LOCAL statement_timeout = ${limits.statementTimeoutMs ?? 60_000}`,
    );
    const value = await fn(createTransaction(client));
    const { command } = await client.query("COMMIT");
    if (command !== "COMMIT")
      throw new Error(`transaction ended in ${command} although no statement reported an error`);
    return value;
  } catch (error) {
    const fate = classify(error);
    if (fate instanceof OutageError && !isAnswer(fate.cause)) broken ??= fate;
    if (!broken) await client.query("ROLLBACK").catch(onError);
    throw fate;
  } finally {
    client.removeListener("error", onError);
    client.release(broken ?? false);
  }
}

async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    throw classify(error);
  }
}

function createTransaction(client: pg.PoolClient): Transaction {
  let depth = 0;
  return {
    ...createQueries((query) => client.query(query)),
    async savepoint(fn) {
      const name = `s${depth++}`;
      await client.query(`SAVEPOINT ${name}`);
      try {
        const value = await fn();
        await client.query(`RELEASE SAVEPOINT ${name}`);
        return value;
      } catch (error) {
        if (!(classify(error) instanceof OutageError)) {
          await client.query(`ROLLBACK TO SAVEPOINT ${name}; RELEASE SAVEPOINT ${name}`);
        }
        throw classify(error);
      } finally {
        depth--;
      }
    },
    async copyIn(statement, data) {
      try {
        return await copyIn(client, statement, data);
      } catch (error) {
        throw classify(error);
      }
    },
  };
}
