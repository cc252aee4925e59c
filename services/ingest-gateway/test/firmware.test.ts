import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { useRedis, waitFor } from "@sluice/testkit";
import {
  connectClient,
  type ProductionBroker,
  startProductionBroker,
  USER_PASSWORD,
  urlFor,
} from "./production-mosquitto.ts";
import { rowsOf, storedMessages } from "./subscriber-gateway.ts";
import { storedOf, useGateway } from "./use-gateway.ts";

const firmware = join(import.meta.dirname, "../../../firmware");
const hasCompiler = spawnSync("g++", ["--version"]).status === 0;
if (!hasCompiler) process.stdout.write("firmware tests are left out: there is no g++ on this machine\n");
const withCompiler = hasCompiler ? describe : describe.skip;

const DEVICES = ["esp_1", "esp_2", "esp_3"];
const redis = useRedis();
const built = mkdtempSync(join(tmpdir(), "sluice-firmware-"));
const cleanups: (() => unknown)[] = [];
let broker: ProductionBroker;

const sources = (folder: string) =>
  readdirSync(join(firmware, folder))
    .filter((name) => name.endsWith(".cpp"))
    .map((name) => join(firmware, folder, name));
const compile = (name: string, folder: string) => {
  const out = join(built, name);
  const warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];
  const checks = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover"];
  const files = [...sources("src/sluice"), ...sources(folder)];
  execFileSync("g++", ["-std=c++17", ...warnings, ...checks, ...files, "-o", out], { stdio: "pipe" });
  return out;
};

interface Event {
  event: string;
  samples?: number;
  lost?: number;
  refused?: number;
  payload?: string;
}

/** Runs the device's program to its end. */
function runDevice(device: string, options: Record<string, string | number> = {}) {
  const all = { port: broker?.ports.device ?? 0, device, user: device, password: USER_PASSWORD, ...options };
  const args = Object.entries(all).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn(join(built, "host"), args, { stdio: ["ignore", "pipe", "inherit"] });
  cleanups.push(() => child.kill("SIGKILL"));
  const events: Event[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => events.push(JSON.parse(line) as Event));
  const exit = new Promise<number | null>((resolve) => child.once("close", resolve));
  return { events, exit };
}

/** Starts a gateway in a process of its own; resolves when it follows the broker. */
async function startGateway(): Promise<ChildProcess> {
  const url = urlFor("sluice-gateway", broker.ports.gateway);
  const options = JSON.stringify({ redisUrl: redis.url, url, clientId: "gw" });
  const file = join(import.meta.dirname, "subscriber-process.ts");
  const child = spawn(process.execPath, ["--conditions=source", "--import", "tsx", file, options], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  cleanups.push(() => child.kill("SIGKILL"));
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  await waitFor(() => lines.includes("ready"), { timeoutMs: 30_000, what: "the gateway process" });
  return child;
}

const killed = (child: ChildProcess) =>
  new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.kill("SIGKILL");
  });
const stored = async (device: string, type?: string) =>
  (await storedMessages(redis.url)).filter(
    (m) => m.device === device && (type === undefined || m.type === type),
  );

beforeAll(() => {
  if (hasCompiler) compile("host", "host");
});
afterAll(() => rmSync(built, { recursive: true, force: true }));

withCompiler("the firmware at the built-in broker", () => {
  const it = useGateway();

  test.each(["ntp", "server", "none"])(
    "has every sample acknowledged and stored once; clock: %s",
    async (clock) => {
      const { username: user, password } = it.a;
      const port = it.gateway.ports.mqtt ?? 0;
      const options = { port, user, password, clock, boot: `b-${clock}`, samples: 50, "interval-ms": 5 };
      const device = runDevice(it.a.id, options);
      expect(await device.exit).toBe(0);
      expect(device.events.at(-1)).toEqual({ event: "done", samples: 50, lost: 0, refused: 0 });
      const messages = (await storedOf(it.bus)).filter((m) => m.boot === `b-${clock}` && m.seq !== undefined);
      expect(rowsOf(messages).size).toBe(200);
      expect(messages.at(-1)?.samples[0]?.clock).toBe(clock === "none" ? "age" : "device");
    },
    60_000,
  );
});

withCompiler("the firmware, compiled for this machine", () => {
  beforeAll(async () => {
    broker = await startProductionBroker(["sluice-gateway", "observer", ...DEVICES]);
  });
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });
  afterAll(async () => {
    await broker?.stop();
  });

  test("passes its own checks", () => {
    const result = spawnSync(compile("checks", "test"), { encoding: "utf8" });
    expect(result.stdout).toBe("all checks passed\n");
    expect(result.status).toBe(0);
  });

  test("has every sample acknowledged and stored once, with its values, its presence and its last will", async () => {
    await startGateway();
    const device = runDevice("esp_1", { samples: 50, "interval-ms": 10, "linger-ms": 200 });
    expect(await device.exit).toBe(0);
    expect(device.events.at(-1)).toEqual({ event: "done", samples: 50, lost: 0, refused: 0 });
    const messages = await stored("esp_1", "environmental");
    expect(new Set(messages.map((m) => m.seq)).size).toBe(50);
    expect(rowsOf(messages).size).toBe(200);
    const tenth = messages.find((m) => m.seq === 10);
    expect(tenth?.boot).toBe("1-host");
    expect(tenth?.samples[0]).toMatchObject({
      clock: "device",
      readings: [
        { field: "temperature", value: 20.01 },
        { field: "humidity", value: null },
        { field: "battery_level", value: 85 },
        { field: "led", value: false },
      ],
    });
    expect((await stored("esp_1", "online")).length).toBe(1);
    const gone = runDevice("esp_1", { samples: 1, "linger-ms": 60_000, boot: "2-host" });
    await waitFor(() => gone.events.some(({ event }) => event === "settled"));
    for (const cleanup of cleanups.splice(1)) await cleanup();
    await waitFor(async () => (await stored("esp_1", "offline")).length === 1);
  });

  test("has one time per sample however often a device without a clock sends it", async () => {
    const device = runDevice("esp_2", {
      samples: 20,
      "interval-ms": 5,
      clock: "none",
      "resend-ms": 50,
      boot: "3-x",
    });
    await waitFor(() => device.events.some(({ event }) => event === "connected"));
    await startGateway();
    expect(await device.exit).toBe(0);
    const messages = await stored("esp_2", "environmental");
    expect(messages.length).toBeGreaterThan(20);
    const times = new Map<number | undefined, Set<number | undefined>>();
    for (const { seq, samples } of messages) {
      times.set(seq, (times.get(seq) ?? new Set()).add(samples[0]?.timeUs));
    }
    expect(times.size).toBe(20);
    expect([...times.values()].map((set) => set.size)).toEqual(Array.from({ length: 20 }, () => 1));
  });

  test("carries out a command once and says so", async () => {
    await startGateway();
    const device = runDevice("esp_3", { samples: 1, "linger-ms": 3000 });
    await waitFor(() => device.events.some(({ event }) => event === "settled"));
    const server = await connectClient(urlFor("sluice-gateway", broker.ports.gateway), {
      clientId: "commander",
    });
    cleanups.push(() => server.end(true));
    const command = '{"id":"c1","on":true}';
    for (let i = 0; i < 2; i++)
      await server.publishAsync("iotflow/devices/esp_3/commands/led", command, { qos: 1 });
    await waitFor(async () => (await stored("esp_3", "led")).some(({ kind }) => kind === "result"));
    expect(await device.exit).toBe(0);
    expect(device.events.filter(({ event }) => event === "command")).toHaveLength(1);
  });

  test("loses nothing when gateway and broker are killed under load", async () => {
    const samples = 1500;
    const devices = DEVICES.map((id) =>
      runDevice(id, {
        samples,
        "interval-ms": 5,
        capacity: samples,
        "resend-ms": 500,
        boot: "9-k",
        "timeout-ms": 80_000,
      }),
    );
    const settled = () =>
      devices.reduce((n, { events }) => n + events.filter((e) => e.event === "settled").length, 0);
    let gateway = await startGateway();
    for (const victim of ["gateway", "broker", "gateway", "broker"]) {
      const before = settled();
      await waitFor(() => settled() > before + 200, { timeoutMs: 30_000, what: "progress" });
      if (victim === "gateway") {
        await killed(gateway);
        gateway = await startGateway();
      } else {
        await broker.server.kill("SIGKILL");
        await broker.server.restart();
      }
    }
    for (const { exit } of devices) expect(await exit).toBe(0);
    for (const [i, id] of DEVICES.entries()) {
      expect(devices[i]?.events.at(-1)).toEqual({ event: "done", samples, lost: 0, refused: 0 });
      const messages = (await stored(id, "environmental")).filter((m) => m.boot === "9-k");
      expect(new Set(messages.map((m) => m.seq)).size).toBe(samples);
      expect(rowsOf(messages).size).toBe(samples * 4);
    }
  });
});
