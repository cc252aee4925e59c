import { type Db, listTombstones, openDb } from "@sluice/db";
import type { Influx } from "@sluice/influx";
import { covers, type Resource, type Telemetry, type Tombstone } from "@sluice/shared-types";

/** The part of a logger that this needs. */
interface Log {
  warn(obj: object, msg: string): void;
}

/** Deletions in InfluxDB, and the memory of them: what was published before one may be delivered after it. */
export interface Erasures extends Resource {
  /**
   * Deletes the tombstone's range, in both documents' models. Doing it again deletes it again, so it comes before
   * what was published after it. Rejects with OutageError; Error on InfluxDB 3, which cannot.
   */
  erase(tombstone: Tombstone, ordinal: number): Promise<void>;
  /** Asks PostgreSQL for tombstones of these devices that another writer, or an earlier life, has carried out. */
  recall(devices: Iterable<string>): Promise<void>;
  /** The message, published at position `ordinal` of its stream, without what a later tombstone has erased. */
  leave(message: Telemetry, ordinal: number): Telemetry;
}

interface Remembered extends Tombstone {
  ordinal: number;
}

const MAX_REMEMBERED = 10_000;

/** Opens them; without a `url` only what this process has erased is remembered. PostgreSQL may be down. The caller closes it. */
export function openErasures(influx: Influx, url: string | undefined, log: Log): Erasures {
  const byDevice = new Map<string, Remembered[]>();
  let db: Db | undefined;
  const remember = (one: Remembered) => {
    const known = byDevice.get(one.device) ?? [];
    if (known.some(({ ordinal }) => ordinal === one.ordinal)) return;
    if (byDevice.size >= MAX_REMEMBERED) byDevice.delete(byDevice.keys().next().value ?? "");
    byDevice.set(one.device, [...known, one]);
  };
  return {
    async erase(tombstone, ordinal) {
      const { device, fromUs, toUs } = tombstone;
      await influx.deleteRange({ tags: { device_id: device }, fromUs, toUs });
      await influx.deleteRange({ measurement: "sensor_reading", tags: { sensor_id: device }, fromUs, toUs });
      remember({ ...tombstone, ordinal });
    },
    async recall(devices) {
      if (url === undefined) return;
      try {
        db ??= await openDb(url, { max: 1, applicationName: "influx-writer", answerTimeoutMs: 2_000 });
        for (const one of await listTombstones(db, [...new Set(devices)])) remember(one);
      } catch (error) {
        log.warn({ err: error }, "deletions by other writers cannot be asked for");
      }
    },
    leave(message, ordinal) {
      const known = byDevice.get(message.device);
      if (!known || ordinal === 0) return message;
      const after = known.filter((one) => one.ordinal > ordinal);
      const { device, receivedUs } = message;
      const samples = message.samples.filter(
        ({ timeUs }) => !after.some((one) => covers(one, device, timeUs, receivedUs)),
      );
      return samples.length === message.samples.length ? message : { ...message, samples };
    },
    async ping() {}, // points are written without PostgreSQL
    async close() {
      await db?.close();
    },
  };
}
