import type { Entry, EntryOutcome } from "@sluice/bus";
import { type Db, insertQuarantine, type QuarantineInput } from "@sluice/db";
import { CAN_STREAM, keepPayload, Rejected } from "@sluice/shared-types";
import type { Store } from "./store-batch.ts";

/**
 * Makes the handler that keeps the refusals of `stream` in quarantine. A refusal delivered again is the same row.
 * What is no refusal is kept as `undecodable`.
 */
export function createRejectedStore(db: Db, stream: string): Store {
  const handle = async (entries: readonly Entry[]): Promise<EntryOutcome[]> => {
    const rows = entries.flatMap(({ id, messages }) =>
      messages.map((text, index) => toQuarantine(`${stream}/${id}#${index}`, text)),
    );
    await insertQuarantine(db, rows);
    return entries.map(({ id, messages }) => ({
      id,
      stored: 0,
      duplicate: 0,
      quarantined: messages.length,
    }));
  };
  return {
    handle,
    // every column takes what it is given, so a refusal that fails is a defect, not bad input
    quarantine: async (_, error) => {
      throw new Error("a refusal could not be kept", { cause: error });
    },
  };
}

function toQuarantine(dedupeKey: string, text: string): QuarantineInput {
  const parsed = Rejected.safeParse(tryParse(text));
  if (parsed.success) {
    const { payload, ...rejected } = parsed.data;
    // A frame that was refused twice, because its worker was killed in between, is one refusal.
    const key = rejected.source === "can" ? `${CAN_STREAM}/${rejected.messageId}` : dedupeKey;
    return { ...rejected, dedupeKey: key, payload: Buffer.from(payload, "base64") };
  }
  const kept = keepPayload(text);
  return {
    dedupeKey,
    reason: "undecodable",
    detail: "a message on the rejected stream is no refusal",
    source: "postgres",
    receivedUs: Date.now() * 1000,
    payload: Buffer.from(kept.payload, "base64"),
    truncated: kept.truncated,
  };
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
