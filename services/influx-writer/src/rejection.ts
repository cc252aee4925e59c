import type { Bus } from "@sluice/bus";
import {
  decodeMessage,
  InvalidInputError,
  keepPayload,
  payloadOf,
  type Reason,
  type Rejected,
  streamKey,
  type Telemetry,
} from "@sluice/shared-types";

/** Creates what keeps refusals: resolves once they are durable on the `rejected` stream. */
export function createReject(bus: Bus): (rejected: readonly Rejected[]) => Promise<void> {
  return async (rejected) => {
    const messages = rejected.map((one) => JSON.stringify(one));
    await bus.publish(streamKey("rejected"), messages);
  };
}

/** Why something of a message was refused. */
export interface Refusal {
  reason: Reason;
  detail: string;
}

const DETAIL_LIMIT = 2000;

/** What quarantine keeps of a message's refusals: one for each reason. Nothing where there are none. */
export function toRejected(messageId: string, text: string, refusals: readonly Refusal[]): Rejected[] {
  if (refusals.length === 0) return [];
  const byReason = new Map<Reason, string[]>();
  for (const { reason, detail } of refusals) {
    const details = byReason.get(reason) ?? [];
    details.push(detail);
    byReason.set(reason, details);
  }
  const from = origin(text);
  return [...byReason].map(([reason, details]) => {
    const detail = [...new Set(details)].join("; ").slice(0, DETAIL_LIMIT);
    return { reason, detail, source: "influx", messageId, ...from };
  });
}

function origin(
  text: string,
): Pick<Rejected, "receivedUs" | "device" | "topic" | "boot" | "seq" | "type" | "payload" | "truncated"> {
  let message: Telemetry;
  try {
    message = decodeMessage(text);
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error;
    return { receivedUs: Date.now() * 1000, ...keepPayload(text) };
  }
  const { receivedUs, device, type, topic, boot, seq } = message;
  return {
    receivedUs,
    device,
    type,
    ...(topic === undefined ? {} : { topic }),
    ...(boot === undefined ? {} : { boot }),
    ...(seq === undefined ? {} : { seq }),
    ...keepPayload(payloadOf(text)),
  };
}
