import type { Entry, EntryOutcome } from "@sluice/bus";
import {
  type Db,
  insertQuarantine,
  noteConnectionRefusals,
  type QuarantineInput,
  type TurnedAwayInput,
} from "@sluice/db";
import { CAN_STREAM, keepPayload, Rejected } from "@sluice/shared-types";
import type { Store } from "./store-batch.ts";

/**
 * Makes the handler that keeps the refusals of `stream`: messages in quarantine, who was turned away among the refused
 * connections (`stored` in the ledger). A refusal delivered again is the same. What is no refusal is kept as `undecodable`.
 */
export function createRejectedStore(db: Db, stream: string): Store {
  const handle = async (entries: readonly Entry[]): Promise<EntryOutcome[]> => {
    const messages: QuarantineInput[] = [];
    const turnedAway: TurnedAwayInput[] = [];
    const outcomes = entries.map(({ id, messages: texts }) => {
      const before = turnedAway.length;
      for (const [index, text] of texts.entries()) {
        const parsed = Rejected.safeParse(tryParse(text)).data;
        const messageId = `${stream}/${id}#${index}`;
        if (parsed?.who) turnedAway.push(toTurnedAway(messageId, parsed, parsed.who));
        else messages.push(toQuarantine(messageId, text, parsed));
      }
      const stored = turnedAway.length - before;
      return { id, stored, duplicate: 0, quarantined: texts.length - stored };
    });
    await insertQuarantine(db, messages);
    await noteConnectionRefusals(db, turnedAway);
    return outcomes;
  };
  return {
    handle,
    // every column takes what it is given, so a refusal that fails is a defect, not bad input
    quarantine: async (_, error) => {
      throw new Error("a refusal could not be kept", { cause: error });
    },
  };
}

function toTurnedAway(
  messageId: string,
  { reason, detail, source, receivedUs, payload }: Rejected,
  { address, user, client, times }: NonNullable<Rejected["who"]>,
): TurnedAwayInput {
  const who = { address, username: user, clientId: client, times };
  return { messageId, reason, detail, source, receivedUs, ...who, payload: Buffer.from(payload, "base64") };
}

function toQuarantine(dedupeKey: string, text: string, parsed: Rejected | undefined): QuarantineInput {
  if (parsed) {
    const { payload, ...rejected } = parsed;
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
