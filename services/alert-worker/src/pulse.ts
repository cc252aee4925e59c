import type { Heard } from "./read-batch.ts";

/** Spares the database from being told of every message that a device is there. */
export interface Pulse {
  /** Those of `heard` that are news: after seconds, or where a device comes or goes. */
  due(heard: ReadonlyMap<number, Heard>): Heard[];
  /** They are written. */
  took(heard: readonly Heard[]): void;
}

/** How far what is written may lag behind. */
const REST_US = 5_000_000;

/** Makes one that knows of nobody. */
export function createPulse(): Pulse {
  const written = new Map<number, Heard>();
  return {
    due: (heard) =>
      [...heard.values()].filter(({ deviceId, seenUs, offlineUs }) => {
        const last = written.get(deviceId);
        return !last || offlineUs !== null || last.offlineUs !== null || seenUs - last.seenUs > REST_US;
      }),
    took(heard) {
      for (const one of heard) written.set(one.deviceId, one);
    },
  };
}
