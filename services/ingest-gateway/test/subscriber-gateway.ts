import { openBus, openKeyValue } from "@sluice/bus";
import { createMetrics } from "@sluice/service-kit";
import { DEFAULT_CLOCK_POLICY, decodeMessage, streamKey, type Telemetry } from "@sluice/shared-types";
import { createAppender } from "../src/appender.ts";
import { createArrivals } from "../src/arrival.ts";
import { createDuplicates } from "../src/duplicates.ts";
import { createIngest } from "../src/ingest.ts";
import { createRefusalLog } from "../src/refusal-log.ts";
import { openSubscriber, type SubscriberOptions } from "../src/subscribe.ts";
import { createTopicReader } from "../src/topic-reader.ts";

/** One line of the log. */
export interface Line {
  level: string;
  msg: string;
  [key: string]: unknown;
}

/** What a test may choose. */
export interface GatewayOptions extends Partial<SubscriberOptions> {
  redisUrl: string;
  url: string;
  lease?: boolean;
  /** The only key that is right, for every device. */
  apiKey?: string;
}

/** The gateway's own parts between an external broker and a real bus, without listeners of its own. */
export async function openGateway(options: GatewayOptions, lines: Line[] = []) {
  const say = (level: string) => (obj: object, msg: string) => void lines.push({ level, msg, ...obj });
  const log = { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") };
  const metrics = createMetrics("ingest-gateway");
  const bus = await openBus(options.redisUrl);
  const keyValue = await openKeyValue(options.redisUrl);
  const append = createAppender(bus, () => {});
  const read = createTopicReader("iotflow", []);
  const ingest = createIngest({
    quota: { take: () => true },
    append,
    arrivals: createArrivals(),
    duplicates: createDuplicates(bus, append, [streamKey("telemetry")]),
    streams: [streamKey("telemetry")],
    reserve: keyValue.reserve,
    readTopic: (_, topic) => read(topic),
    checkApiKey: (key) => key === options.apiKey,
    findOwner: () => undefined,
    heard: () => {},
    refused: createRefusalLog(metrics, log),
    clock: DEFAULT_CLOCK_POLICY,
    maxPayloadBytes: 65_536,
  });
  const subscriber = openSubscriber(
    { ingest, log, metrics, ...(options.lease === false ? {} : { lease: keyValue }) },
    { clientId: "gw", connections: 2, shared: "auto", root: "iotflow", ...options },
  );
  return {
    subscriber,
    lines,
    metrics,
    close: async () => {
      await subscriber.close();
      await keyValue.close();
      await bus.close();
    },
  };
}

/** Everything on the telemetry stream, decoded. */
export async function storedMessages(redisUrl: string): Promise<Telemetry[]> {
  return (await textsOf(redisUrl, "telemetry")).map(decodeMessage);
}

/** Everything on a stream, as it is. */
export async function textsOf(redisUrl: string, kind: "telemetry" | "rejected"): Promise<string[]> {
  const bus = await openBus(redisUrl);
  const found: string[] = [];
  try {
    for (let from = "-", last = ""; ; ) {
      const entries = await bus.browse(streamKey(kind), { from, count: 500 });
      for (const entry of entries) if (entry.id !== last) found.push(...entry.messages);
      const end = entries.at(-1)?.id;
      if (end === undefined || end === last) return found;
      from = last = end;
    }
  } finally {
    await bus.close();
  }
}

/** The rows a database would have: one per device, field and time; a message sent again under its `seq` is one. */
export function rowsOf(messages: readonly Telemetry[]): Set<string> {
  const rows = new Set<string>();
  for (const { device, seq, boot, samples } of messages) {
    for (const { timeUs, readings } of samples) {
      for (const { field, value } of readings) {
        rows.add(
          seq === undefined
            ? `${device} ${field} ${timeUs} ${value}`
            : `${device} ${boot} ${seq} ${field} ${value}`,
        );
      }
    }
  }
  return rows;
}
