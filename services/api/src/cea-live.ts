import type { KeyValue } from "@sluice/bus";
import type { PlacedSensor } from "@sluice/db";
import { CAN_NODES, OutageError } from "@sluice/shared-types";
import type { Deps } from "./deps.ts";
import { Refusal } from "./refusal.ts";

/** From there on a live value is stale, as in the source system. */
export const STALE_MS = 30_000;

/** A value as it is now. */
export interface LiveValue {
  value: number | null;
  unit: string | null;
  time: string | null;
  /** There is none, or it is older than 30 s. */
  stale: boolean;
}

/** Where in its room a sensor is: the CAN node's position, else its rack. */
export const clusterOf = ({ device, rack }: PlacedSensor): string =>
  CAN_NODES.find((node) => node.device === device)?.position ?? rack ?? "main";

/** Live values by location, cluster and sensor name. @throws Refusal 503 without Redis */
export async function liveOf({ keyValue }: Pick<Deps, "keyValue">, sensors: readonly PlacedSensor[]) {
  const places: Record<string, Record<string, Record<string, LiveValue>>> = {};
  const values = await Promise.all(sensors.map((sensor) => readLive(keyValue, sensor)));
  for (const [i, sensor] of sensors.entries()) {
    const value = values[i];
    if (!value) continue;
    const place = places[sensor.location] ?? {};
    const cluster = clusterOf(sensor);
    places[sensor.location] = { ...place, [cluster]: { ...place[cluster], [sensor.name]: value } };
  }
  return places;
}

async function readLive(keyValue: Pick<KeyValue, "find">, sensor: PlacedSensor): Promise<LiveValue> {
  const { name, unit, calibrationOffset } = sensor;
  try {
    const [text, ts] = await Promise.all([
      keyValue.find(`sensor:${name}`),
      keyValue.find(`sensor:${name}:ts`),
    ]);
    if (text === undefined || ts === undefined) return { value: null, unit, time: null, stale: true };
    const atMs = Number(ts);
    const stale = Date.now() - atMs > STALE_MS;
    return { value: Number(text) + calibrationOffset, unit, time: new Date(atMs).toISOString(), stale };
  } catch (error) {
    if (!(error instanceof OutageError)) throw error;
    throw new Refusal(503, "live values cannot be reached", { code: "unavailable" });
  }
}
