import { setTimeout as delay } from "node:timers/promises";
import { type Bus, COMMANDS_GROUP } from "@sluice/bus";
import {
  type Db,
  expireCommands,
  giveBackCommands,
  listCommandedDevices,
  listDeviceConfigs,
  listPendingCommands,
  noteDelivered,
  openDb,
  takeCommands,
} from "@sluice/db";
import { OutageError, type Resource, streamKey } from "@sluice/shared-types";
import { z } from "zod";
import type { CommandWays, Way } from "./command-ways.ts";
import { followStream } from "./follow-stream.ts";
import type { Log } from "./log.ts";

/** Sends commands and configurations to devices. */
export interface CommandDesk extends Resource {
  /** These devices can be reached now: sends what waits for them. */
  look(devices: readonly string[]): void;
}

/** What it works with. */
export interface CommandDeskDeps {
  databaseUrl: string;
  bus: Bus;
  ways: CommandWays;
  /** Name of this gateway. */
  instance: string;
  log: Log;
}

const News = z.object({ devices: z.array(z.string()), configured: z.array(z.string()).default([]) });
const SWEEP_MS = 3000;
const TOGETHER_MS = 20;
const BUSY_MS = 20;
const IDLE_MS = 100;
const DEVICES_PER_LOOK = 500;
const COMMANDS_PER_LOOK = 1000;
const MAX_DEVICES = 50_000;

/**
 * Opens the desk. PostgreSQL decides who sends a command: whoever takes it sends it, once. One whose acknowledgement
 * does not come is not sent again, so that no reconnect carries anything out twice. That something waits is told by
 * the bus, by devices that begin to listen, and every three seconds by the database itself.
 */
export async function openCommandDesk(deps: CommandDeskDeps): Promise<CommandDesk> {
  const { log } = deps;
  const stop = new AbortController();
  const due = createQueue();
  const unconfigured = createQueue();
  let db: Db | undefined;
  let failing = false;
  const open = async () => {
    db ??= await openDb(deps.databaseUrl, { max: 2, log, applicationName: "sluice-commands" });
    return db;
  };
  const following = await followStream(deps.bus, {
    stream: streamKey("commands"),
    group: COMMANDS_GROUP,
    pauseMs: (found) => (found ? BUSY_MS : IDLE_MS),
    onMessage: (text) => {
      const news = parseNews(text);
      if (!news) return log.warn({ text: text.slice(0, 200) }, "news of commands cannot be read");
      due.add(news.devices);
      unconfigured.add(news.configured);
    },
  });
  const work = async () => {
    await unconfigured.take(async (devices) => {
      for (const config of await listDeviceConfigs(await open(), devices)) await deps.ways.configure(config);
    });
    await due.take(async (devices) => {
      if (await deliver(await open(), devices, deps)) due.add(devices);
    });
  };
  const sweep = async () => {
    due.add(await listCommandedDevices(await open(), MAX_DEVICES));
    await expireCommands(await open());
  };
  const loop = async () => {
    let sweptMs = Number.NEGATIVE_INFINITY;
    while (!stop.signal.aborted) {
      try {
        if (performance.now() - sweptMs >= SWEEP_MS) {
          sweptMs = performance.now();
          await sweep();
        }
        await work();
        if (failing) log.info({}, "commands are sent again");
        failing = false;
      } catch (error) {
        if (!(error instanceof OutageError)) throw error;
        if (!failing) log.warn({ err: error }, "commands wait: they cannot be read");
        failing = true;
      }
      await Promise.race([due.filled(), unconfigured.filled(), delay(SWEEP_MS, undefined, stop)]).catch(
        () => {},
      );
      // What comes within a moment is looked at together.
      await delay(failing ? SWEEP_MS : TOGETHER_MS, undefined, stop).catch(() => {});
    }
  };
  const running = loop();
  return {
    look(devices) {
      due.add(devices);
      unconfigured.add(devices);
    },
    ping: following.ping,
    close: async () => {
      stop.abort();
      await running;
      await following.close();
      await db?.close();
    },
  };
}

/** Sends what waits for these devices and gets to them from here; whether there may be more. */
async function deliver(db: Db, devices: readonly string[], deps: CommandDeskDeps): Promise<boolean> {
  const pending = await listPendingCommands(db, devices, COMMANDS_PER_LOOK);
  const messages = new Map<string, { way: Way; ids: number[] }>();
  for (const command of pending) {
    const way = deps.ways.find(command);
    if (!way) continue;
    const message = messages.get(way.key) ?? { way, ids: [] };
    message.ids.push(command.id);
    messages.set(way.key, message);
  }
  const wanted = [...messages.values()].flatMap(({ ids }) => ids);
  const taken = new Set(await takeCommands(db, wanted, deps.instance));
  for (const { way, ids } of messages.values()) {
    const mine = ids.filter((id) => taken.has(id));
    if (mine.length > 0) void send(db, way, mine, deps);
  }
  return pending.length === COMMANDS_PER_LOOK && taken.size > 0;
}

async function send(
  db: Db,
  way: Way,
  ids: readonly number[],
  { instance, log }: CommandDeskDeps,
): Promise<void> {
  try {
    const sent = await way.send();
    if (sent === "acknowledged") await noteDelivered(db, ids);
    if (sent === "unsent") await giveBackCommands(db, ids, instance);
  } catch (error) {
    if (!(error instanceof OutageError)) throw error;
    log.warn({ err: error, commands: ids }, "what became of commands could not be noted");
  }
}

function parseNews(text: string): z.output<typeof News> | undefined {
  try {
    return News.parse(JSON.parse(text));
  } catch {
    return undefined; // told by the caller
  }
}

/** Devices to look at, each once. */
function createQueue() {
  const waiting = new Set<string>();
  let wake = () => {};
  return {
    add(devices: readonly string[]) {
      for (const device of devices) if (waiting.size < MAX_DEVICES) waiting.add(device);
      if (waiting.size > 0) wake();
    },
    /** Hands over all there are; those whose work fails are looked at again. */
    async take(work: (devices: readonly string[]) => Promise<void>) {
      while (waiting.size > 0) {
        const some = [...waiting].slice(0, DEVICES_PER_LOOK);
        for (const device of some) waiting.delete(device);
        await work(some).catch((error: unknown) => {
          this.add(some);
          throw error;
        });
      }
    },
    filled: () =>
      new Promise<void>((resolve) => {
        if (waiting.size > 0) resolve();
        wake = resolve;
      }),
  };
}
