import { randomBytes } from "node:crypto";
import {
  type Db,
  enablePack,
  findNewestReading,
  putMachine,
  putWaterNodes,
  registerDevices,
} from "@sluice/db";
import { createSimulatedDevices, type SimulatedDevice } from "@sluice/packs";
import { createTopics } from "@sluice/shared-types";
import { Command } from "commander";
import type { Fleet } from "../fleet/open-fleet.ts";
import { provisionFleet } from "../fleet/provision-fleet.ts";
import { connectFor } from "../installation.ts";
import { interruptible } from "../interrupt.ts";
import { integerBetween, numberBetween } from "../number-argument.ts";
import { note, printJson, printLine } from "../output.ts";
import { getPack } from "../packs/find-pack.ts";
import { sendHistory } from "../packs/send-history.ts";
import { runSimulation } from "../simulation/run-simulation.ts";

interface DemoOptions {
  seconds: number;
  history: number;
  seed: number;
  json?: boolean;
}

const HOUR_MS = 3_600_000;
const MAX_CONNECTIONS = 50;

const HELP = `
Enables the pack and sends what its simulator.json describes over real MQTT connections: first the past, from where
an earlier demo ended, then live until Ctrl-C or --seconds. What is known of the devices (zone, what feeds them) is
put into the registry.

Examples:
  $ ./sluice demo water
  $ ./sluice demo machines --history 72 --seconds 60`;

/** `sluice demo`: a domain at work. */
export function demoCommand(): Command {
  return new Command("demo")
    .description("simulated devices of a pack: daily patterns, leaks, shifts, faults")
    .argument("<pack>", "water, machines, hydroponics, cea or another pack")
    .option(
      "--seconds <s>",
      "how long to send live (default: until Ctrl-C)",
      numberBetween(0, 604_800),
      604_800,
    )
    .option("--history <hours>", "how far back the past begins", numberBetween(0, 8784), 24)
    .option("--seed <n>", "seed of the series", integerBetween(0, 2 ** 31 - 1), 1)
    .option("--json", "print JSON")
    .addHelpText("after", HELP)
    .action((pack: string, options: DemoOptions, self: Command) =>
      interruptible((signal) => demo(pack, options, self, signal)),
    );
}

async function demo(
  name: string,
  options: DemoOptions,
  command: Command,
  signal: AbortSignal,
): Promise<void> {
  const pack = await getPack(name);
  const connection = connectFor(command);
  const devices = createSimulatedDevices(pack.simulator.devices, options.seed);
  const ids = devices.map(({ id }) => id);
  const db = await connection.openDb();
  const boot = `${Date.now().toString(36)}-${randomBytes(3).toString("hex")}`;
  const { topicRoot } = connection;
  try {
    await enablePack(db, pack);
    await registerDevices(db, devices);
    await describeDevices(db, devices);
    const newest = await findNewestReading(db, ids);
    const fleet = await provisionFleet(db, connection.pepper(), {
      url: connection.urls.mqtt,
      username: `demo_${pack.name}`,
      devices: ids,
      type: pack.deviceTypes[0] ?? "esp32",
      connections: Math.min(ids.length, MAX_CONNECTIONS),
      clientId: `demo-${boot}`,
    });
    try {
      if (!options.json) note(`${pack.title}: ${ids.length} devices; sending the past …`);
      const afterMs = newest?.getTime() ?? 0;
      const sent = await sendPastAndLive(fleet, devices, { ...options, topicRoot, boot, afterMs, signal });
      if (options.json) printJson({ pack: pack.name, devices: ids, ...sent });
      else
        printLine(
          `${sent.past} readings of the past, ${sent.live.readings} live; unacknowledged ${sent.live.unacknowledged}`,
        );
      if (sent.live.unacknowledged > 0) process.exitCode = 1;
    } finally {
      await fleet.close();
    }
  } finally {
    await db.close();
  }
}

interface Sending extends DemoOptions {
  topicRoot: string;
  boot: string;
  /** The past begins after it: an earlier demo ended there. */
  afterMs: number;
  signal: AbortSignal;
}

async function sendPastAndLive(fleet: Fleet, devices: readonly SimulatedDevice[], options: Sending) {
  const { history, seconds, json, topicRoot, boot, afterMs, signal } = options;
  const nowMs = Date.now();
  const past = await sendHistory(fleet, devices, {
    fromMs: Math.max(nowMs - history * HOUR_MS, afterMs + 1000),
    toMs: nowMs,
    topics: createTopics(topicRoot),
    signal,
  });
  if (!json) note(`${past} readings of the past are acknowledged; live now (Ctrl-C ends it)`);
  const live = await runSimulation(fleet, {
    devices: devices.map(({ id }) => id),
    read: (device, timeMs) => devices[device]?.read(timeMs) ?? {},
    rate: devices.reduce((sum, { model }) => sum + 1 / model.everySeconds, 0),
    seconds,
    boot,
    topicRoot,
    drainMs: 30_000,
    signal,
  });
  return { past, live };
}

/** What the pack knows of its devices beside what they send: nodes of a water network, machines. */
async function describeDevices(db: Db, devices: readonly SimulatedDevice[]): Promise<void> {
  const text = (value: unknown) => (value === undefined ? undefined : String(value));
  const nodes = devices.flatMap(({ id, model: { attributes } }) =>
    attributes.node_type === undefined
      ? []
      : [
          {
            node: id,
            type: text(attributes.node_type),
            zone: text(attributes.zone),
            upstream: text(attributes.upstream),
          },
        ],
  );
  // what feeds others comes first
  nodes.sort((a, b) => Number(a.upstream !== undefined) - Number(b.upstream !== undefined));
  if (nodes.length > 0) await putWaterNodes(db, nodes);
  for (const { id, model } of devices) {
    // beside the machines that there are, which may read another source
    if (model.attributes.machine === true) await putMachine(db, { machineId: `demo-${id}`, device: id });
  }
}
