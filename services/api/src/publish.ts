import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { Bus } from "@sluice/bus";
import {
  type Clock,
  type ClockPolicy,
  type Envelope,
  encodeMessage,
  InvalidInputError,
  Outcome,
  parsePayload,
  partitionOf,
  resolveTime,
  streamKey,
} from "@sluice/shared-types";

/** A message that the api itself puts onto the bus. */
export interface OwnMessage {
  device: string;
  type: string;
  /** Telemetry where left out. */
  kind?: Envelope["kind"];
  /** Payload in any of the shapes a device may send. */
  payload: object;
  /** Replaces what is stored. */
  correction?: true;
}

/** Puts messages onto the bus, each to the partition of its device. */
export interface Publish {
  /** Resolves when all are durably accepted. @throws InvalidInputError before anything was sent, OutageError */
  accepted(messages: readonly OwnMessage[]): Promise<void>;
  /** Resolves with what became of the one message; undefined where nobody said so in time. */
  stored(message: OwnMessage, timeoutMs: number): Promise<Outcome | undefined>;
}

const POLL_MS = 20;
const PAGE = 500;

/** Creates it for groups that have to exist before anything is accepted. */
export function createPublish(
  bus: Bus,
  options: { clock: ClockPolicy; partitions: number; groups: readonly string[] },
): Publish {
  const send = async (messages: readonly OwnMessage[], notify?: string) => {
    const receivedUs = Date.now() * 1000;
    const byStream = new Map<string, string[]>();
    for (const message of messages) {
      const stream = streamKey("telemetry", partitionOf(message.device, options.partitions));
      const list = byStream.get(stream) ?? [];
      byStream.set(stream, list);
      list.push(encode(message, receivedUs, options.clock, notify));
    }
    for (const [stream, texts] of byStream) {
      for (const group of options.groups) await bus.ensureGroup(stream, group);
      await bus.publish(stream, texts);
    }
  };
  return {
    accepted: (messages) => send(messages),
    async stored(message, timeoutMs) {
      const notify = `api/${randomUUID()}`;
      const outcomes = streamKey("outcomes");
      const [newest] = await bus.browse(outcomes, { from: "-", count: 1, reverse: true });
      let from = newest?.id ?? "-";
      await send([message], notify);
      const untilMs = Date.now() + timeoutMs;
      while (Date.now() < untilMs) {
        const entries = await bus.browse(outcomes, { from, count: PAGE });
        for (const text of entries.flatMap(({ messages }) => messages)) {
          if (!text.includes(notify)) continue;
          return Outcome.parse(JSON.parse(text));
        }
        from = entries.at(-1)?.id ?? from;
        if (entries.length < PAGE) await delay(POLL_MS);
      }
      return undefined;
    },
  };
}

function encode(
  message: OwnMessage,
  receivedUs: number,
  clock: ClockPolicy,
  notify: string | undefined,
): string {
  const { device, type, correction } = message;
  const payload = parsePayload(message.payload, type);
  const [refused] = payload.refused;
  if (refused) throw new InvalidInputError(refused.code, refused.message);
  const resolved = payload.samples.map((sample) => resolveTime(sample, receivedUs, clock));
  const clocks: Clock[] = resolved.map((time) => time.clock);
  const envelope: Envelope = {
    device,
    kind: message.kind ?? "telemetry",
    type,
    source: "http",
    receivedUs,
    timesUs: resolved.map(({ timeUs }) => timeUs),
    clock: clocks,
    ...(Object.keys(payload.tags).length === 0 ? {} : { tags: payload.tags }),
    ...(correction ? { correction } : {}),
    ...(notify === undefined ? {} : { notify }),
  };
  return encodeMessage(envelope, JSON.stringify(message.payload));
}
