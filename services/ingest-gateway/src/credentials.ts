import { setTimeout as delay } from "node:timers/promises";
import type { KeyValue } from "@sluice/bus";
import { CREDENTIALS_CHANNEL, type Db, hashSecret, listCredentials, listen, openDb } from "@sluice/db";
import { type Credential, OutageError, type Resource } from "@sluice/shared-types";
import { type Authentication, createCredentialBook, type LiveCredential } from "./credential-book.ts";
import type { Log } from "./log.ts";

/** Every credential, in memory: authentication needs no server. */
export interface Credentials extends Resource {
  /** Checks an MQTT user and password; the API key passes as a password, as document B's devices use it. */
  authenticate(username: string, password: string): Authentication;
  /** Checks an API key on its own. */
  authenticateKey(key: string): Authentication;
  /** Whether a session opened with the secret of `hash` may go on; gives the credential as it is now. */
  renew(username: string, hash: string): LiveCredential | undefined;
  /** The credential that owns a device. */
  findOwner(device: string): LiveCredential | undefined;
  /** Whether a key sent inside a payload is one of the device's owner. */
  checkApiKey(key: string, device: string): boolean;
  /**
   * Gives what `check` finds; where that is nobody, what it finds once all has been read anew, or could not be within
   * 3 s: a credential may be so new that it is not in memory yet.
   */
  lookTwice(check: () => Authentication): Promise<Authentication>;
  /** Calls `listener` after every change. */
  onChange(listener: () => void): void;
}

/** Where credentials come from. */
export interface CredentialSources {
  databaseUrl: string;
  keyValue: Pick<KeyValue, "put" | "find">;
  pepper: string;
  log: Log;
  /** How often to read all again, besides being told of changes. */
  pollMs?: number;
}

/** A new device is not in the copy yet, so the database gets this long to answer first. */
const PREFER_DATABASE_MS = 1500;
const COPY = "sluice:credentials:{0}";

/**
 * Loads all credentials from PostgreSQL and follows their changes: told at once, and read again every 30 s. A
 * signed copy is kept in Redis, so that a gateway started while PostgreSQL is down still knows its devices.
 * Resolves once it has either; with neither it waits.
 */
export async function openCredentials(sources: CredentialSources): Promise<Credentials> {
  const book = createCredentialBook(sources.pepper);
  const stop = new AbortController();
  const follower = follow(sources, book.replace, stop.signal);
  const fromCopy = async () => {
    await delay(PREFER_DATABASE_MS, undefined, { ref: false });
    const list = await readCopy(sources);
    if (list) book.replaceIfEmpty(list);
    else await follower.loaded;
  };
  await Promise.race([follower.loaded, fromCopy()]);
  return {
    ...book,
    lookTwice: async (check) => {
      const first = check();
      if (first.credential) return first;
      await follower.refreshed();
      return check();
    },
    ping: follower.ping,
    close: async () => {
      stop.abort();
      await follower.close();
    },
  };
}

/** How long a stranger at the door may have to wait for another look at the database. */
const REFRESH_MS = 3_000;
/** Strangers cause no more than four such looks a second, and keep the database busy for a tenth of the time. */
const LEAST_PAUSE_MS = 250;
const PAUSE_SHARE = 9;
/** A database that does not answer for so long is asked again on a new connection: no device may wait for it. */
const ANSWER_MS = 5_000;

async function readCopy({ keyValue, pepper, log }: CredentialSources): Promise<Credential[] | undefined> {
  try {
    const text = await keyValue.find(COPY);
    if (text === undefined) return undefined;
    const signature = text.slice(0, 64);
    const body = text.slice(64);
    if (hashSecret(pepper, body) !== signature) {
      log.warn({}, "the copy of the credentials in redis is not ours: ignored");
      return undefined;
    }
    return JSON.parse(body) as Credential[];
  } catch (error) {
    if (!(error instanceof OutageError)) throw error;
    return undefined;
  }
}

/** Keeps reading the credentials; every failure is an outage to be ridden out. */
function follow(sources: CredentialSources, replace: (list: Credential[]) => void, signal: AbortSignal) {
  const { log } = sources;
  let db: Db | undefined;
  let listener: Resource | undefined;
  let wake = () => {};
  let changed = true;
  let failure: Error | undefined = new OutageError("postgres", "credentials are not read yet");
  let announceLoaded = () => {};
  const loaded = new Promise<void>((resolve) => {
    announceLoaded = resolve;
  });
  const notify = () => {
    changed = true;
    wake();
  };
  let restUntilMs = 0;
  let refreshing: NodeJS.Timeout | undefined;
  let strangers: (() => void)[] = [];
  let reading = false;
  const refresh = () => {
    if (reading || strangers.length === 0) return;
    refreshing ??= setTimeout(
      () => {
        refreshing = undefined;
        notify();
      },
      Math.max(0, restUntilMs - performance.now()),
    );
  };
  const copy = createCopyKeeper(sources);
  const load = async () => {
    db ??= await openDb(sources.databaseUrl, {
      max: 1,
      log,
      applicationName: "sluice-gateway",
      answerTimeoutMs: ANSWER_MS,
    });
    listener ??= await listen(db, CREDENTIALS_CHANNEL, notify);
    changed = false;
    const list = await listCredentials(db);
    replace(list);
    announceLoaded();
    if (failure) log.info({ credentials: list.length }, "credentials read");
    failure = undefined;
    copy.keep(list);
  };
  const step = async () => {
    const startMs = performance.now();
    const waiting = strangers;
    strangers = [];
    reading = true;
    try {
      await load();
    } catch (error) {
      if (!(error instanceof OutageError)) throw error;
      if (!failure) log.warn({ err: error }, "credentials cannot be read; the last ones stay in force");
      failure = error;
    } finally {
      reading = false;
      for (const resume of waiting) resume();
      const endMs = performance.now();
      restUntilMs = endMs + Math.max(LEAST_PAUSE_MS, (endMs - startMs) * PAUSE_SHARE);
      if (!signal.aborted) refresh();
    }
  };
  const loop = async () => {
    while (!signal.aborted) {
      await step();
      if (signal.aborted || (changed && !failure)) continue;
      const waitMs = failure ? 1000 : (sources.pollMs ?? 30_000);
      await new Promise<void>((resume) => {
        const timer = setTimeout(resume, waitMs);
        wake = () => {
          clearTimeout(timer);
          resume();
        };
      });
    }
  };
  signal.addEventListener("abort", () => wake(), { once: true });
  const running = loop();
  running.catch((error: unknown) =>
    setImmediate(() => {
      throw error; // a defect, not an outage: the process must not go on with credentials that never change
    }),
  );
  return {
    refreshed: () => {
      const read = new Promise<void>((resolve) => strangers.push(resolve));
      refresh();
      return Promise.race([read, delay(REFRESH_MS, undefined, { ref: false })]);
    },
    loaded: Promise.race([loaded, running]),
    ping: async () => {
      // Serving from the copy is serving: only having none at all is a failure.
      if (failure) log.debug({ err: failure }, "credentials are served from memory");
    },
    close: async () => {
      clearTimeout(refreshing);
      await running;
      await copy.kept();
      await listener?.close();
      await db?.close();
    },
  };
}

/** Keeps the newest list in Redis, one write at a time. Nobody waits for it: a slow Redis must not hold up a new device. */
function createCopyKeeper({ keyValue, pepper, log }: CredentialSources) {
  let newest: readonly Credential[] | undefined;
  let writing: Promise<void> | undefined;
  const write = async () => {
    while (newest) {
      const body = JSON.stringify(newest);
      newest = undefined;
      await keyValue.put(COPY, hashSecret(pepper, body) + body);
    }
  };
  return {
    keep(list: readonly Credential[]) {
      newest = list;
      writing ??= write()
        .catch((error: unknown) => log.debug({ err: error }, "the copy of the credentials is written later"))
        .finally(() => {
          writing = undefined;
        });
    },
    kept: async () => writing,
  };
}
