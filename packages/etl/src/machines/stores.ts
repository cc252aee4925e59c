import { type Db, ensureMachineTables, openDb } from "@sluice/db";

/** Variables that name the document's two databases; they are on one server. */
export interface StoreSettings {
  readonly DB_HOST?: string | undefined;
  readonly DB_PORT?: number | undefined;
  readonly DB_USER?: string | undefined;
  readonly DB_PASSWORD?: string | undefined;
  /** Source of machines that no device feeds; without it there is none. */
  readonly DB_NAME?: string | undefined;
  /** Where figures go; without it, to our own database. */
  readonly AGG_DB_NAME?: string | undefined;
}

/** The document's two databases. Each is opened when it is first asked for, and asked for again after an outage. */
export interface MachineStores {
  /** Read only; undefined where none is configured. @throws OutageError */
  source(): Promise<Db | undefined>;
  /** With its tables; undefined where figures go to our own database. @throws OutageError */
  target(): Promise<Db | undefined>;
  close(): Promise<void>;
}

const DEFAULT_PORT = 2345;

/** Creates the stores; the caller closes them. Their port is the document's 2345 where none is given. */
export function createMachineStores(settings: StoreSettings): MachineStores {
  const url = (name: string, readOnly: boolean) => {
    const { DB_USER: user = "", DB_PASSWORD: password = "", DB_HOST = "127.0.0.1", DB_PORT } = settings;
    const host = DB_HOST.includes(":") ? `[${DB_HOST}]` : DB_HOST;
    const who = user === "" ? "" : `${encodeURIComponent(user)}:${encodeURIComponent(password)}@`;
    const options = readOnly ? `?options=${encodeURIComponent("-c default_transaction_read_only=on")}` : "";
    return `postgres://${who}${host}:${DB_PORT ?? DEFAULT_PORT}/${encodeURIComponent(name)}${options}`;
  };
  const source = createOpening(settings.DB_NAME, (name) =>
    openDb(url(name, true), { max: 2, applicationName: "sluice-machines" }),
  );
  const target = createOpening(settings.AGG_DB_NAME, async (name) => {
    const db = await openDb(url(name, false), { max: 2, applicationName: "sluice-machines" });
    try {
      await ensureMachineTables(db);
      return db;
    } catch (error) {
      await db.close();
      throw error;
    }
  });
  return {
    source: source.get,
    target: target.get,
    close: async () => {
      await source.close();
      await target.close();
    },
  };
}

function createOpening(name: string | undefined, open: (name: string) => Promise<Db>) {
  let opening: Promise<Db> | undefined;
  return {
    get: async (): Promise<Db | undefined> => {
      if (name === undefined) return undefined;
      opening ??= open(name);
      try {
        return await opening;
      } catch (error) {
        opening = undefined;
        throw error;
      }
    },
    close: async () => {
      const db = await opening?.catch(() => undefined); // was never open
      await db?.close();
    },
  };
}
