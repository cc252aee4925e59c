import { keepPayload, type Reason, type Rejected, streamKey } from "@sluice/shared-types";
import type { Appender } from "./appender.ts";
import type { RefusalLog } from "./refusal-log.ts";

/** Who was turned away before a message of his was looked at, and what can be said of him. */
export interface TurnedAway {
  reason: Reason;
  detail: string;
  source: "mqtt" | "http";
  address: string;
  user?: string;
  clientId?: string;
  /** First bytes of what he sent, where they help. */
  bytes?: Uint8Array;
}

/** Tells of connections and requests that were turned away. */
export type Door = (who: TurnedAway) => void;

const KEPT_BYTES = 2048;

/**
 * Counts and logs as every refusal, and keeps one for each line logged, so that "why does my message not arrive?" can
 * be answered without keeping what an attacker sends. Bytes of somebody who is known are a message, and always kept.
 */
export function createDoor(refused: RefusalLog, append: Appender, nowUs: () => number): Door {
  return ({ reason, detail, source, address, user, clientId, bytes }) => {
    const who = `${shown(user ?? clientId ?? "")}@${address}`;
    const times = refused.note(reason, who, {
      detail,
      source,
      ...(clientId ? { clientId: shown(clientId) } : {}),
    });
    const message = bytes !== undefined && user !== undefined;
    if (times === 0 && !message) return;
    const rejected: Rejected = {
      reason,
      detail: `${detail} (${who}${clientId ? `, client ${shown(clientId)}` : ""})`,
      source,
      receivedUs: nowUs(),
      ...(message ? {} : { who: { address, user: shown(user ?? ""), client: shown(clientId ?? ""), times } }),
      ...keepPayload(bytes ? bytes.subarray(0, KEPT_BYTES) : ""),
    };
    // Nobody waits for it: nothing was promised to whoever was turned away.
    append.add(streamKey("rejected"), JSON.stringify(rejected)).catch(() => {});
  };
}

/** A name from the wire as it may be shown: printable, short. */
const shown = (text: string) =>
  (text.length > 64 ? `${text.slice(0, 64)}…` : text).replace(/[^\x20-\x7e…]/g, "?");
