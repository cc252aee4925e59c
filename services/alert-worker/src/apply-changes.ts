import { QUALITY_FLAGS } from "@sluice/analytics";
import {
  addQualityFlags,
  closeGaps,
  dropQualityFlags,
  endAlerts,
  promoteAlerts,
  raiseAlerts,
  type Transaction,
} from "@sluice/db";
import type { Change } from "./judge.ts";

type Of<K extends Change["kind"]> = Extract<Change, { kind: K }>;

/** Writes what readings changed; of one sensor and rule in their order. */
export async function applyChanges(tx: Transaction, changes: readonly Change[]): Promise<void> {
  for (const round of roundsOf(changes)) {
    await raiseAlerts(
      tx,
      pick(round, "raise").map(({ alert }) => alert),
    );
    await promoteAlerts(
      tx,
      pick(round, "promote").map(({ alert }) => alert),
    );
    await endAlerts(
      tx,
      pick(round, "end").map(({ alert }) => alert),
    );
  }
  const replaced = pick(changes, "replaced");
  await dropQualityFlags(
    tx,
    replaced.map(({ sensorId, timeUs }) => ({ sensorId, timeUs, flags: QUALITY_FLAGS })),
  );
  await closeGaps(tx, pick(changes, "late"));
  await addQualityFlags(
    tx,
    pick(changes, "flag").map(({ sensorId, timeUs, flag }) => ({ sensorId, timeUs, flags: [flag] })),
  );
}

function pick<K extends Change["kind"]>(changes: readonly Change[], ...kinds: K[]): Of<K>[] {
  return changes.filter((change): change is Of<K> => kinds.includes(change.kind as K));
}

/** Most alerts change once in a batch; one that ends and begins again in it does so in later rounds. */
function roundsOf(changes: readonly Change[]): Of<"raise" | "promote" | "end">[][] {
  const rounds: Of<"raise" | "promote" | "end">[][] = [];
  const turns = new Map<string, number>();
  for (const change of pick(changes, "raise", "promote", "end")) {
    const key = `${change.alert.ruleId}/${change.alert.sensorId}`;
    const turn = turns.get(key) ?? 0;
    turns.set(key, turn + 1);
    rounds[turn] = [...(rounds[turn] ?? []), change];
  }
  return rounds;
}
