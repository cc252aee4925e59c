import { startMosquitto } from "@sluice/servers";
import { costPerMillion, type Progress, readLedger, storedMessages, untilDrained } from "./e2e.ts";
import { READINGS_PER_MESSAGE } from "./payload.ts";
import { openSystem } from "./system.ts";

/** Figures of a fleet on an external Mosquitto that the gateway subscribes to. */
export interface MosquittoReport {
  readingsPerSecond: number;
  cpuSecondsPerMillion: Record<string, number>;
  ledger: { balanced: boolean; accepted: number; stored: number };
}

const CONFIG = ["allow_anonymous true", "max_queued_messages 0", "max_inflight_messages 1000"].join("\n");

/** Publishes to Mosquitto at `rate` messages a second for `seconds`; what it has queued then is drained too. */
export async function benchMosquitto(
  options: { seconds: number; rate: number },
  say: Progress,
): Promise<MosquittoReport> {
  const broker = await startMosquitto({ config: CONFIG });
  try {
    const system = await openSystem(["ingest-gateway", "stream-worker"], 1000, {
      SLUICE_SINKS: "postgres",
      MQTT_URL: `mqtt://127.0.0.1:${broker.port}`,
    });
    try {
      const before = system.costs();
      const storedBefore = await storedMessages(system);
      say(`publishing ${options.rate} messages/s for ${options.seconds} s`);
      const started = performance.now();
      const load = { connections: 50, seconds: options.seconds, window: 400, rate: options.rate };
      const { acknowledged } = await system.load(load, broker.port);
      while ((await storedMessages(system)) - storedBefore < acknowledged) await untilDrained(system);
      const readings = ((await storedMessages(system)) - storedBefore) * READINGS_PER_MESSAGE;
      return {
        readingsPerSecond: Math.round(readings / ((performance.now() - started) / 1000)),
        cpuSecondsPerMillion: costPerMillion(before, system.costs(), readings),
        ledger: await readLedger(system),
      };
    } finally {
      await system.close();
    }
  } finally {
    await broker.stop();
  }
}
