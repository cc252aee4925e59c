import type { SimulatedDevice } from "@sluice/packs";
import type { Topics } from "@sluice/shared-types";
import type { Fleet } from "../fleet/open-fleet.ts";

/** The past that devices send at once. */
export interface History {
  fromMs: number;
  toMs: number;
  topics: Topics;
  signal: AbortSignal;
}

const SAMPLES = 100;
const OUTSTANDING = 2000;

/**
 * Sends what devices would have measured in the past, many samples in a message, each with its own time. Resolves with
 * the number of readings once all are acknowledged, or `signal` aborts.
 */
export async function sendHistory(
  fleet: Fleet,
  devices: readonly SimulatedDevice[],
  { fromMs, toMs, topics, signal }: History,
): Promise<number> {
  let readings = 0;
  let outstanding = 0;
  let wake: () => void = () => {};
  signal.addEventListener("abort", () => wake(), { once: true });
  const below = async (most: number) => {
    while (outstanding > most && !signal.aborted) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  for (const [index, device] of devices.entries()) {
    const topic = topics.telemetry(device.id, "sensors");
    const stepMs = device.model.everySeconds * 1000;
    let samples: object[] = [];
    const send = () => {
      if (samples.length === 0) return;
      outstanding++;
      fleet.publish(index, topic, JSON.stringify(samples), () => {
        outstanding--;
        wake();
      });
      samples = [];
    };
    for (let at = Math.ceil(fromMs / stepMs) * stepMs; at < toMs && !signal.aborted; at += stepMs) {
      const data = device.read(at);
      if (Object.keys(data).length === 0) continue;
      readings += Object.keys(data).length;
      samples.push({ ts: new Date(at).toISOString(), data });
      if (samples.length < SAMPLES) continue;
      send();
      await below(OUTSTANDING);
    }
    send();
  }
  await below(0);
  return readings;
}
