import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { createGunzip, gunzipSync } from "node:zlib";
import type { Bus } from "@sluice/bus";
import type { TakenRange } from "@sluice/db";
import type { KeptEntry } from "./keep-bus.ts";
import type { StreamPosition } from "./manifest.ts";

const BATCH = 1_000;

/**
 * Lets the streams count on from where they stood, makes their groups, and publishes what waited, with what was parked.
 * A group that had a message already gets it again and counts it as duplicate. Gives messages by stream.
 */
export async function refillBus(
  bus: Bus,
  file: string,
  streams: readonly StreamPosition[],
  eachParked: (publish: (range: TakenRange) => Promise<void>) => Promise<unknown>,
): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  const publish = async (stream: string, messages: readonly string[]) => {
    for (let from = 0; from < messages.length; from += BATCH)
      await bus.publish(stream, messages.slice(from, from + BATCH));
    if (messages.length > 0) counts[stream] = (counts[stream] ?? 0) + messages.length;
  };
  for (const { stream, accepted, groups } of streams) {
    if (accepted > 0) await bus.resume(stream, accepted);
    for (const { group } of groups) await bus.ensureGroup(stream, group);
  }
  // Parked entries are older than all that waited on the bus.
  await eachParked(async ({ stream, body }) => {
    const entries = JSON.parse(gunzipSync(body).toString()) as { messages: string[] }[];
    await publish(
      stream,
      entries.flatMap(({ messages }) => messages),
    );
  });
  for await (const line of createInterface({ input: createReadStream(file).pipe(createGunzip()) })) {
    const { stream, messages } = JSON.parse(line) as KeptEntry;
    await publish(stream, messages);
  }
  return counts;
}
