import type { Bus } from "@sluice/bus";
import { GROUPS, partitionOf, streamKey } from "@sluice/shared-types";
import {
  type BuiltMessage,
  createMessageBuilder,
  type MessageOptions,
  type SampleRow,
} from "./message-builder.ts";
import type { Mark } from "./wait-processed.ts";

/** What was published: how much, and the last entry on each stream. */
export interface PublishedSamples {
  readings: number;
  marks: Map<string, Mark>;
}

const MESSAGES_AT_ONCE = 64;

/**
 * Publishes rows in order. Resolves once all are durable on the bus. @throws OutageError where the bus is out of reach:
 * what was published until then stays, and publishing it again stores nothing twice
 */
export async function publishSamples(
  bus: Bus,
  rows: AsyncIterable<SampleRow>,
  options: MessageOptions & { partitions: number },
): Promise<PublishedSamples> {
  const builder = createMessageBuilder(options);
  const published: PublishedSamples = { readings: 0, marks: new Map() };
  let ready: BuiltMessage[] = [];
  const publish = async () => {
    const streams = new Map<string, BuiltMessage[]>();
    for (const message of ready) {
      const stream = streamKey("telemetry", partitionOf(message.device, options.partitions));
      streams.set(stream, [...(streams.get(stream) ?? []), message]);
    }
    ready = [];
    for (const [stream, messages] of streams) {
      // without its group the stream would not hold the messages for it
      if (!published.marks.has(stream)) await bus.ensureGroup(stream, GROUPS.postgres);
      const ids = await bus.publish(
        stream,
        messages.map(({ text }) => text),
      );
      published.marks.set(stream, { entry: ids.at(-1)?.split("#")[0] ?? "", atMs: performance.now() });
      published.readings += messages.reduce((sum, { readings }) => sum + readings, 0);
    }
  };
  for await (const row of rows) {
    ready.push(...builder.add(row));
    if (ready.length >= MESSAGES_AT_ONCE) await publish();
  }
  ready.push(...builder.flush());
  await publish();
  return published;
}
