import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Installation, startInstallation } from "@sluice/testkit/installation";
import mqtt from "mqtt";
import { type FuzzReport, fuzz, keepInput } from "./fuzz.ts";

/** What a run of fuzzing showed. */
export interface FuzzResult extends FuzzReport {
  /** The process that was fuzzed is the one that was started. */
  sameProcess: boolean;
  /** Resident memory of it afterwards. */
  residentMb: number;
  /** Lines of the log that tell of a defect. */
  defects: string[];
  /** How long a well-behaved device then takes to connect and have a message acknowledged. */
  goodDeviceMs: number;
}

const DEFECT = /"level":"fatal"|unhandled|uncaught|UnhandledPromise|TypeError|RangeError/i;

/** Fuzzes the gateway of an installation of its own. Inputs that showed a defect are added to the corpus. */
export async function fuzzGateway(options: { seconds: number; seed: number }): Promise<FuzzResult> {
  const sluice = await startInstallation({ services: ["ingest-gateway"] });
  try {
    const device = JSON.parse(await sluice.sluice("devices", "add", "fuzz_1", "--json")) as Record<
      "username" | "password" | "apiKey",
      string
    >;
    const state = readState(sluice);
    const login = connectPacket("fuzz-login", device.username, device.password);
    const report = await fuzz({ ...state, login, apiKey: device.apiKey, ...options });
    report.failed.forEach(keepInput);
    const beforeMs = performance.now();
    const client = await mqtt.connectAsync(state.mqttUrl, { ...device, reconnectPeriod: 0 }, false);
    await client.publishAsync("iotflow/devices/fuzz_1/telemetry/after", '{"x":1}', { qos: 1 });
    const goodDeviceMs = performance.now() - beforeMs;
    await client.endAsync(true);
    const after = readState(sluice);
    const resident = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${after.pid}/status`, "utf8"))?.[1];
    return {
      ...report,
      sameProcess: after.pid === state.pid,
      residentMb: Number(resident) / 1024,
      defects: linesOf(join(sluice.dataDir, "logs")).filter((line) => DEFECT.test(line)),
      goodDeviceMs,
    };
  } finally {
    await sluice.stop();
  }
}

function readState(sluice: Installation) {
  const state = JSON.parse(readFileSync(join(sluice.dataDir, "state.json"), "utf8")) as {
    mqttUrl: string;
    mqttPort: number;
    httpPort: number;
    services: { name: string; pid: number }[];
  };
  const { mqttUrl, mqttPort, httpPort, services } = state;
  return { mqttUrl, mqttPort, httpPort, pid: services.find(({ name }) => name === "ingest-gateway")?.pid };
}

const linesOf = (dir: string) =>
  readdirSync(dir).flatMap((name) => readFileSync(join(dir, name), "utf8").split("\n"));

function connectPacket(clientId: string, username: string, password: string): Buffer {
  const text = (value: string) => {
    const bytes = Buffer.from(value);
    return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
  };
  const head = Buffer.concat([text("MQTT"), Buffer.from([4, 0xc2, 0, 60])]);
  const body = Buffer.concat([head, text(clientId), text(username), text(password)]);
  return Buffer.concat([Buffer.from([0x10, body.length]), body]);
}
