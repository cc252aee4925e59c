import { type Db, openDb, type Queries, type Row } from "@sluice/db";
import type { Log } from "@sluice/service-kit";
import { OutageError } from "@sluice/shared-types";

/** Where charts and downloads are read from. */
export interface Reads extends Queries {
  close(): Promise<void>;
}

const REST_MS = 5000;
const MAX_CONNECTIONS = 10;

/**
 * Reads from the replica at `url`, and from the primary where there is none or it does not answer. What was stored a
 * moment ago may not be on a replica yet: whatever must be current asks the primary itself.
 */
export function createReads(primary: Queries, url: string | undefined, log: Log): Reads {
  if (url === undefined) return { query: primary.query, execute: primary.execute, close: async () => {} };
  let opening: Promise<Db> | undefined;
  let restUntilMs = 0;
  const open = () => {
    const options = { log, max: MAX_CONNECTIONS, applicationName: "sluice-api-reads" };
    opening ??= openDb(url, options).catch((error: unknown) => {
      opening = undefined;
      throw error;
    });
    return opening;
  };
  const first = async <T>(ask: (db: Queries) => Promise<T>): Promise<T> => {
    if (Date.now() < restUntilMs) return ask(primary);
    try {
      return await ask(await open());
    } catch (error) {
      if (!(error instanceof OutageError)) throw error;
      log.warn({ err: error }, "the read replica does not answer: the primary is asked for a while");
      restUntilMs = Date.now() + REST_MS;
      return ask(primary);
    }
  };
  return {
    query: <R = Row>(text: string, params?: readonly unknown[]) => first((db) => db.query<R>(text, params)),
    execute: (text, params) => first((db) => db.execute(text, params)),
    close: async () => void (await (await opening?.catch(() => undefined))?.close()),
  };
}
