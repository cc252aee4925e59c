import { createHash } from "node:crypto";
import type { Bus } from "@sluice/bus";
import { partitionOf, payloadOf } from "@sluice/shared-types";
import type { Appender } from "./appender.ts";

/** Recognises a message that is sent again without an identity of its own. */
export interface Duplicates {
  /**
   * When the message that came with this client id, packet id and payload was first received, microseconds;
   * undefined where none was in the last minutes. Looks at the stream itself, so that it also knows what
   * another gateway, or this one before a crash, has appended.
   */
  find(packet: readonly [string, number], device: string, payload: string): Promise<number | undefined>;
}

const LOOK_BACK_MS = 60_000;
const PAGE = 200;
const MAX_KNOWN = 200_000;

/** One index for each of `streams`, the partitions of telemetry. */
export function createDuplicates(
  bus: Pick<Bus, "browse">,
  append: Pick<Appender, "settled">,
  streams: readonly string[],
): Duplicates {
  const indexes = streams.map((stream) => createIndex(bus, append, stream));
  return {
    find: async (packet, device, payload) =>
      indexes[partitionOf(device, indexes.length)]?.find(packet, device, payload),
  };
}

/** An index of the stream's tail that is read only once a DUP asks, and from then on continued. */
function createIndex(
  bus: Pick<Bus, "browse">,
  append: Pick<Appender, "settled">,
  stream: string,
): Duplicates {
  const known = new Map<string, number>();
  let lastId: string | undefined;
  let reading: Promise<void> | undefined;
  let again: Promise<void> | undefined;

  const catchUp = async () => {
    // The first copy may still be on its way into the stream: from this process, over a connection now gone.
    await append.settled();
    let from = lastId ?? `${Date.now() - LOOK_BACK_MS}-0`;
    for (;;) {
      const entries = await bus.browse(stream, { from, count: PAGE });
      for (const entry of entries) {
        if (entry.id === lastId) continue;
        for (const message of entry.messages) remember(known, message);
        lastId = entry.id;
      }
      if (entries.length < PAGE || lastId === undefined) break;
      from = lastId;
    }
  };
  /** A reading that began before this call may have missed what this call is about: one more follows it. */
  const refresh = (): Promise<void> => {
    if (!reading) {
      reading = catchUp().finally(() => {
        reading = undefined;
      });
      return reading;
    }
    again ??= reading
      .catch(() => {})
      .then(() => {
        again = undefined;
        return refresh();
      });
    return again;
  };

  return {
    async find(packet, device, payload) {
      await refresh();
      return known.get(keyOf(packet, device, payload));
    },
  };
}

const keyOf = (packet: readonly [string, number], device: string, payload: string) =>
  createHash("sha256")
    .update(JSON.stringify([packet[0], packet[1], device]))
    .update(payload)
    .digest("base64");

function remember(known: Map<string, number>, message: string): void {
  const end = message.indexOf(',"p":');
  // Only messages without an identity carry their packet; the others need no parsing.
  if (end < 0 || message.lastIndexOf(',"i":[', end) < 0) return;
  const wire = JSON.parse(`${message.slice(0, end)}}`) as { d: string; r: number; i?: [string, number] };
  if (!wire.i) return;
  const key = keyOf(wire.i, wire.d, payloadOf(message));
  // A copy keeps the time of the first; a new message under a used packet id takes its place.
  known.delete(key);
  if (known.size >= MAX_KNOWN) known.delete(known.keys().next().value ?? "");
  known.set(key, wire.r);
}
