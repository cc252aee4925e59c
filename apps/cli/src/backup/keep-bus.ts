import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import type { Bus, Entry } from "@sluice/bus";
import { CAN_STREAM } from "@sluice/shared-types";
import { streamsOf } from "../installation.ts";
import type { StreamPosition } from "./manifest.ts";

/** One line of the file: an entry that some group still needed. */
export interface KeptEntry {
  stream: string;
  id: string;
  messages: string[];
}

const PAGE = 200;

/** Streams whose messages are data. Commands and outcomes are of their moment: only their position is kept. */
const DATA = () => [...streamsOf("telemetry"), ...streamsOf("rejected"), CAN_STREAM];

/**
 * Writes what some group has not acknowledged to `file` and gives where every stream stands. What is accepted later is
 * not in it, so this comes before the database's snapshot: a message that both have is recognised as a duplicate.
 */
export async function keepBus(bus: Bus, file: string): Promise<StreamPosition[]> {
  const positions: StreamPosition[] = [];
  async function* lines() {
    for (const stream of DATA()) {
      const position = await positionOf(bus, stream);
      positions.push(position);
      for await (const entry of neededEntries(bus, position)) {
        position.kept += entry.messages.length;
        yield `${JSON.stringify({ stream, id: entry.id, messages: entry.messages } satisfies KeptEntry)}\n`;
      }
    }
  }
  await pipeline(Readable.from(lines()), createGzip(), createWriteStream(file, { mode: 0o600 }));
  for (const stream of [...streamsOf("commands"), ...streamsOf("outcomes")])
    positions.push(await positionOf(bus, stream));
  return positions;
}

async function positionOf(bus: Bus, stream: string): Promise<StreamPosition> {
  const { accepted, groups } = await bus.lag(stream);
  return {
    stream,
    accepted,
    kept: 0,
    groups: groups.map(({ group, unread, pending, parked }) => ({ group, unread, pending, parked })),
  };
}

/** Entries that a group has not settled; where the server cannot say which, all that are there. */
async function* neededEntries(bus: Bus, { stream, groups }: StreamPosition): AsyncGenerator<Entry> {
  if (groups.length === 0) return;
  const [newest] = await bus.browse(stream, { from: "-", count: 1, reverse: true });
  for (let from = "-"; newest; ) {
    const page = (await bus.browse(stream, { from, count: PAGE })).filter(({ id }) => id !== from);
    const needed = await Promise.all(page.map(({ id }) => isNeeded(bus, stream, id)));
    for (const [i, entry] of page.entries()) {
      if (needed[i]) yield entry;
      if (entry.id === newest.id) return;
    }
    const last = page.at(-1);
    if (!last) return;
    from = last.id;
  }
}

async function isNeeded(bus: Bus, stream: string, id: string): Promise<boolean> {
  const fates = await bus.fates(stream, id);
  return fates.length === 0 || fates.some(({ state }) => state !== "settled");
}
