import { createLimiter } from "@sluice/service-kit";
import type { Topics } from "@sluice/shared-types";
import type { Client, PublishPacket } from "aedes";
import { answersOf } from "./answers.ts";
import type { Deliveries } from "./deliveries.ts";
import type { Ingest, RawMessage, Verdict } from "./ingest.ts";
import type { Log } from "./log.ts";
import type { Quota } from "./quota.ts";
import type { Session } from "./session.ts";

/** What publishes of devices need. */
export interface PublishingDeps {
  ingest: Ingest;
  quota: Pick<Quota, "restMs">;
  deliveries: Pick<Deliveries, "hasListener" | "send">;
  topics: Topics;
  log: Log;
  /** Some messages are settled: connections that were held up may be read again. */
  feed(): void;
}

/** What devices publish, on its way to ingest. */
export interface Publishing {
  /** Calls `done` when it is durable, with an error when it could not be made so; then answers on `ack` and `rejected`. */
  accept(packet: PublishPacket, client: Client, session: Session, done: (error?: Error) => void): void;
  /** Whether there is room for more, over all connections. */
  mayRead(): boolean;
}

const WAITING_TOTAL = 60_000;
const WAITING_BYTES = 48 * 1024 * 1024;
const QUIET_MS = 10_000;

/** Creates it; nothing to close. */
export function createPublishing(deps: PublishingDeps): Publishing {
  const { ingest, quota, deliveries, topics, log } = deps;
  const quiet = createLimiter(QUIET_MS);
  /** Handed to ingest and not settled: also what is still looked up and not in the appender yet. */
  const waiting = { messages: 0, bytes: 0 };

  /** Tells those connections of the device that listen on `ack` or `rejected`. */
  const answer = (session: Session, packet: PublishPacket, verdict: Verdict) => {
    const only = session.credential?.devices.length === 1 ? session.credential.devices[0] : undefined;
    const device = verdict.device ?? only;
    if (device === undefined || !deliveries.hasListener(device)) return;
    for (const { topic, payload } of answersOf({ ...verdict, device }, topics, bytesOf(packet)))
      deliveries.send(topic, payload, 1);
  };

  return {
    accept(packet, client, session, done) {
      const { length } = packet.payload;
      session.waiting++;
      waiting.messages++;
      waiting.bytes += length;
      const settle = () => {
        session.waiting--;
        waiting.messages--;
        waiting.bytes -= length;
        deps.feed();
      };
      ingest.accept(toRaw(packet, client, session)).then(
        (verdict) => {
          settle();
          done();
          if (session.credential) {
            const restMs = quota.restMs(verdict.device ?? session.credential.username);
            if (restMs > 0) session.restUntilMs = performance.now() + restMs;
          }
          if (verdict.seq !== undefined || verdict.refusals.length > 0) answer(session, packet, verdict);
        },
        (error: Error) => {
          settle();
          const held = quiet(session.username ?? "", performance.now());
          if (held !== undefined)
            log.warn(
              { err: error, device: session.username, held },
              "not acknowledged: it could not be kept",
            );
          done(error);
        },
      );
    },
    mayRead() {
      const appending = ingest.waiting();
      const messages = Math.max(appending.messages, waiting.messages);
      return messages < WAITING_TOTAL && Math.max(appending.bytes, waiting.bytes) < WAITING_BYTES;
    },
  };
}

const bytesOf = ({ payload }: PublishPacket) =>
  typeof payload === "string" ? Buffer.from(payload) : payload;

function toRaw(packet: PublishPacket, client: Client, { credential }: Session): RawMessage {
  const { topic, qos, dup, messageId } = packet;
  const raw: RawMessage = { topic, payload: bytesOf(packet), qos, dup, clientId: client.id, source: "mqtt" };
  if (messageId !== undefined) raw.packetId = messageId;
  if (credential) raw.credential = credential;
  return raw;
}
