import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { Bus, Entry, Parking } from "@sluice/bus";
import {
  confirmParked,
  type Db,
  dropParked,
  forgetRefilled,
  type Log,
  listUnconfirmed,
  prepareParked,
  sizeOfParked,
} from "@sluice/db";
import { createLimiter } from "@sluice/service-kit";
import { GROUPS, OutageError } from "@sluice/shared-types";

/** How groups that lag are kept from filling the bus. */
export interface ParkOptions {
  streams: readonly string[];
  /** Share of the server's memory from which on the gateway refuses; parking begins below it. */
  highWater: number;
  /** Most bytes that may be parked; beyond them the bus is left to fill, and the gateway to refuse. */
  maxParkedBytes: number;
  /** Entries younger than this are never parked. */
  minAgeMs?: number;
  everyMs?: number;
  signal: AbortSignal;
  log: Log;
  onParked?(group: string, messages: number): void;
}

/** Of the high-water mark: from here on what is acknowledged goes at once, and what lags is parked. */
const PARK_SHARE = 0.75;
const CHUNK_BYTES = 2 * 1024 * 1024;
const PRESSED_KEEP_MS = 2_000;
const UNCONFIRMED_MS = 60_000;
const TELL_EVERY_MS = 30_000;
const FORGET_MS = 30 * 86_400_000;
const compress = promisify(gzip);

/**
 * Watches the server's memory until the signal. Past the mark it trims harder, then moves what a group other than
 * `postgres` is behind with into PostgreSQL, oldest first, until there is room; whoever serves the group takes it
 * from there. Kept before it is taken off the bus: a kill in between leaves a row that is confirmed or dropped later.
 */
export async function parkLagging(bus: Bus, db: Db, options: ParkOptions): Promise<void> {
  const { parking } = bus;
  const { signal, log, everyMs = 500 } = options;
  if (!parking) return;
  const say = createTeller();
  let tidiedMs = 0;
  while (!signal.aborted) {
    try {
      if (Date.now() - tidiedMs > UNCONFIRMED_MS) {
        await tidy(parking, db);
        tidiedMs = Date.now();
      }
      await relieve(bus, parking, db, options, say);
    } catch (error) {
      if (!(error instanceof OutageError)) throw error;
      log.debug({ err: error }, "memory of the bus cannot be watched now");
    }
    await delay(everyMs, undefined, { signal }).catch(() => {});
  }
}

type Teller = (log: Log, stream: string, group: string, messages: number) => void;

/** One line per group in half a minute. */
function createTeller(): Teller {
  const limiter = createLimiter(TELL_EVERY_MS, 1_000);
  const untold = new Map<string, number>();
  return (log, stream, group, messages) => {
    const key = `${stream} ${group}`;
    const sum = (untold.get(key) ?? 0) + messages;
    untold.set(key, sum);
    if (limiter(key, Date.now()) === undefined) return;
    untold.delete(key);
    log.warn({ stream, group, messages: sum }, "the group is far behind: parked in PostgreSQL");
  };
}

async function relieve(bus: Bus, parking: Parking, db: Db, options: ParkOptions, say: Teller): Promise<void> {
  const pressed = async () => {
    const { usedBytes, maxBytes } = await bus.room();
    if (usedBytes === null || maxBytes === null) return 0;
    return usedBytes >= maxBytes * options.highWater * PARK_SHARE ? maxBytes : 0;
  };
  if ((await pressed()) === 0) return;
  for (const stream of options.streams) await parking.trim(stream, PRESSED_KEEP_MS);
  for (const stream of options.streams) {
    const { groups } = await bus.lag(stream);
    for (const { group } of groups) {
      if (group === GROUPS.postgres) continue;
      let parked = 0;
      for (let maxBytes = await pressed(); maxBytes > 0; maxBytes = await pressed()) {
        if (options.signal.aborted) return;
        const chunk = Math.min(CHUNK_BYTES, maxBytes / 16);
        const messages = await parkNext(parking, db, stream, group, chunk, options);
        if (messages === undefined) break;
        parked += messages;
        await parking.trim(stream, PRESSED_KEEP_MS);
      }
      if (parked === 0) continue;
      options.onParked?.(group, parked);
      say(options.log, stream, group, parked);
    }
  }
}

/** Parks the next run of entries; how many messages, undefined where there is none that may be. */
async function parkNext(
  parking: Parking,
  db: Db,
  stream: string,
  group: string,
  maxBytes: number,
  { minAgeMs = 3_000, maxParkedBytes, log }: ParkOptions,
): Promise<number | undefined> {
  const entries = await parking.find(stream, group, { after: GROUPS.postgres, maxBytes, minAgeMs });
  const [first, last] = [entries[0], entries.at(-1)];
  if (!first || !last) return undefined;
  if ((await sizeOfParked(db)) >= maxParkedBytes) {
    log.error({ stream, group, maxParkedBytes }, "no more is parked: SLUICE_PARK_MAX_MB is reached");
    return undefined;
  }
  const id = randomUUID();
  const messages = entries.reduce((sum, entry) => sum + entry.messages.length, 0);
  await prepareParked(db, {
    id,
    stream,
    group,
    fromEntry: first.id,
    toEntry: last.id,
    fromOrdinal: first.ordinal,
    toOrdinal: lastOrdinal(last),
    messages,
    body: await compress(JSON.stringify(entries), { level: 3 }),
  });
  const ids = entries.map((entry) => entry.id);
  if (!(await parking.park(stream, group, id, ids))) {
    await dropParked(db, id);
    return undefined;
  }
  await confirmParked(db, id);
  return messages;
}

const lastOrdinal = ({ ordinal, messages }: Entry) => (ordinal === 0 ? 0 : ordinal + messages.length - 1);

/** Settles what killed workers left open. */
async function tidy(parking: Parking, db: Db): Promise<void> {
  for (const { id, stream, group } of await listUnconfirmed(db, UNCONFIRMED_MS)) {
    if ((await parking.list(stream, group)).has(id)) await confirmParked(db, id);
    else await dropParked(db, id);
  }
  await forgetRefilled(db, FORGET_MS);
}
