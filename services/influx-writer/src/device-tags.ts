import { setTimeout as delay } from "node:timers/promises";
import { type Db, openDb } from "@sluice/db";
import type { Resource } from "@sluice/shared-types";
import type { DeviceTags } from "./data-model.ts";

/** The part of a logger that this needs. */
interface Log {
  warn(obj: object, msg: string): void;
}

/** What the registry in PostgreSQL says of devices, remembered. */
export interface DeviceDirectory extends Resource {
  /**
   * The tags of each device. Asks PostgreSQL for devices not known yet, waiting 2 s for it at most, and once in
   * 10 s at most while it does not answer: a device that nobody knows of has the tags it will have once it has
   * registered itself, so that its series stay the same. Never rejects.
   */
  find(devices: Iterable<string>): Promise<ReadonlyMap<string, DeviceTags>>;
}

/** `iot.devices` gives a device that registers itself this type. */
const UNKNOWN: DeviceTags = { device_type: "esp32" };
const WAIT_MS = 2_000;
const CLOSE_WAIT_MS = 2_000;
const pause = (ms: number) => delay(ms, false, { ref: false });
const PAUSE_MS = 10_000;
const FRESH_MS = 60_000;
const UNKNOWN_FRESH_MS = 5_000;
const MAX_KNOWN = 100_000;

interface Known {
  tags: DeviceTags;
  staleAtMs: number;
}

/** Opens the directory; without a `url` every device is unknown. PostgreSQL may be down. The caller closes it. */
export function openDeviceDirectory(url: string | undefined, log: Log): DeviceDirectory {
  const known = new Map<string, Known>();
  let db: Promise<Db> | undefined;
  let pausedUntilMs = 0;
  let asking: Promise<void> | undefined;

  async function ask(devices: readonly string[], postgres: string): Promise<void> {
    try {
      db ??= openDb(postgres, { max: 1, applicationName: "influx-writer" });
      const rows = await (await db).query<DeviceRow>(SELECT, [devices]);
      remember(known, devices, rows);
    } catch (error) {
      pausedUntilMs = Date.now() + PAUSE_MS;
      log.warn({ err: error }, "device registry cannot be asked; points carry the tags known so far");
      await forget();
    }
  }

  /** One question at a time; the next one asks for what this one did not. */
  function refresh(devices: readonly string[]): void {
    if (url === undefined) return;
    asking ??= ask(devices, url).finally(() => {
      asking = undefined;
    });
  }

  async function forget(): Promise<void> {
    const opened = db;
    db = undefined;
    await opened?.then((it) => it.close()).catch(() => {});
  }

  return {
    async find(devices) {
      const wanted = [...new Set(devices)];
      const deadlineMs = Date.now() + WAIT_MS;
      for (let nowMs = Date.now(); nowMs < deadlineMs && nowMs >= pausedUntilMs; nowMs = Date.now()) {
        const stale = wanted.filter((device) => (known.get(device)?.staleAtMs ?? 0) <= nowMs);
        if (stale.length > 0) refresh(stale);
        // What is merely stale is good enough until the answer is there.
        if (!asking || wanted.every((device) => known.has(device))) break;
        const answered = asking.then(() => true);
        if (!(await Promise.race([answered, pause(deadlineMs - nowMs)])))
          pausedUntilMs = Date.now() + PAUSE_MS;
      }
      return new Map(wanted.map((device) => [device, known.get(device)?.tags ?? UNKNOWN]));
    },
    async ping() {}, // points are written without it
    async close() {
      await Promise.race([forget(), pause(CLOSE_WAIT_MS)]);
    },
  };
}

interface DeviceRow {
  id: string;
  name: string | null;
  type: string;
  location: string | null;
}

const SELECT = `SELECT device_code AS id, name, device_type AS type, location_description AS location
  FROM iot.devices WHERE device_code = ANY($1::text[])`;

function remember(known: Map<string, Known>, asked: readonly string[], rows: readonly DeviceRow[]): void {
  const nowMs = Date.now();
  if (known.size + asked.length > MAX_KNOWN) known.clear();
  for (const device of asked) known.set(device, { tags: UNKNOWN, staleAtMs: nowMs + UNKNOWN_FRESH_MS });
  for (const { id, name, type, location } of rows) {
    const tags: DeviceTags = { device_type: type };
    if (name !== null) tags.device_name = name;
    if (location !== null) tags.location = location;
    known.set(id, { tags, staleAtMs: nowMs + FRESH_MS });
  }
}
