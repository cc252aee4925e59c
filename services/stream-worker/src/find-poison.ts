import type { Db } from "@sluice/db";
import { InvalidInputError } from "@sluice/shared-types";
import type { Batch } from "./account.ts";
import type { Refusal } from "./batch.ts";
import { commitExact } from "./commit-exact.ts";
import type { Planner } from "./plan-batch.ts";

/**
 * Finds the messages that PostgreSQL refuses, by halving the batch in rehearsals that are rolled back. `known` are
 * left out from the beginning.
 */
export async function findPoison(
  db: Db,
  planner: Planner,
  batch: Batch,
  known: ReadonlyMap<number, Refusal>,
): Promise<Map<number, Refusal>> {
  const poison = new Map<number, Refusal>();
  const search = async (messages: readonly number[]): Promise<void> => {
    if (messages.length === 0) return;
    const part = {
      ...batch,
      entries: [],
      messages: messages.map((i) => batch.messages[i]).filter((m) => m !== undefined),
    };
    try {
      await commitExact(db, part, await planner.plan(part.messages), true);
    } catch (error) {
      if (!(error instanceof InvalidInputError)) throw error;
      const [only] = messages;
      if (messages.length === 1 && only !== undefined) {
        poison.set(only, { reason: "poison_row", detail: error.message });
        return;
      }
      const middle = messages.length >> 1;
      await search(messages.slice(0, middle));
      await search(messages.slice(middle));
    }
  };
  await search([...batch.messages.keys()].filter((i) => !known.has(i)));
  return poison;
}
