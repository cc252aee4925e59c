import type { Sequence } from "@sluice/db";
import type { Decision } from "./account.ts";
import type { BatchMessage, MessagePart, Plan, Refusal } from "./batch.ts";

/** What the database has of a batch. */
export interface Known {
  /** Rows of the plan in order of their key. */
  order: Int32Array;
  sequences: readonly (Sequence & { message: number })[];
  /** Indexes of sequences that were received before. */
  seen: ReadonlySet<number>;
  /** Row index to the value that is stored under its key. */
  values: ReadonlyMap<number, number>;
  /** Text index to the text that is stored under its key. */
  texts: ReadonlyMap<number, string>;
  /** Rows that are new as such, but whose value the sensor had within the day before. */
  echoes: ReadonlySet<number>;
}

type Verdict = "new" | "same" | "differs";

/** Decides, message by message in order of arrival, what is new, what is a repetition, what contradicts. Pure. */
export function decide(messages: readonly BatchMessage[], plan: Plan, known: Known): Decision {
  const state: State = {
    plan,
    known,
    numbers: new Map(),
    texts: new Map(),
    insert: new Uint8Array(plan.rows.length),
    insertTexts: [],
  };
  const repeated = repeatedMessages(known);
  const fresh = new Int32Array(plan.parts.length);
  const refusals = plan.parts.map((part, i) => {
    const refused = [...part.refusals];
    const message = messages[i] as BatchMessage;
    if (repeated.has(i)) judgeRepeated(state, message, part, refused);
    else fresh[i] = judge(state, message, part, refused);
    return refused;
  });
  state.insertTexts.sort((a, b) => {
    const [x, y] = [plan.texts[a], plan.texts[b]];
    return x && y ? x.sensorId - y.sensorId || x.timeUs - y.timeUs : 0;
  });
  return {
    fresh,
    refusals,
    inserted: known.order.filter((row) => state.insert[row] === 1),
    insertedTexts: state.insertTexts,
    corrected: new Set(),
  };
}

interface State {
  plan: Plan;
  known: Known;
  /** Taken in by this batch: sensor to time to value. */
  numbers: Map<number, Map<number, number>>;
  texts: Map<number, Map<number, string>>;
  insert: Uint8Array;
  insertTexts: number[];
}

/**
 * Messages whose sequence number was received before under the same boot id. Devices without boot ids begin again
 * at 0 when they restart, so for them a number says nothing: their readings are told apart by time alone.
 */
function repeatedMessages({ sequences, seen }: Known): Set<number> {
  const repeated = new Set<number>();
  const inBatch = new Set<string>();
  for (const [i, { deviceId, boot, seq, message }] of sequences.entries()) {
    if (boot === "") continue;
    const key = `${deviceId}/${seq}/${boot}`;
    if (seen.has(i) || inBatch.has(key)) repeated.add(message);
    inBatch.add(key);
  }
  return repeated;
}

/** Reading by reading: the first value wins. How many are new. */
function judge(state: State, message: BatchMessage, part: MessagePart, refused: Refusal[]): number {
  const { rows, texts } = state.plan;
  let fresh = 0;
  const differing: number[] = [];
  for (let row = part.rowFrom; row < part.rowTo; row++) {
    const verdict = ofNumber(state, row);
    if (verdict === "differs") differing.push(rows.sensorIds[row] as number);
    if (verdict !== "new") continue;
    put(
      state.numbers,
      rows.sensorIds[row] as number,
      rows.timesUs[row] as number,
      rows.values[row] as number,
    );
    state.insert[row] = 1;
    fresh++;
  }
  for (let i = part.textFrom; i < part.textTo; i++) {
    const text = texts[i];
    const verdict = ofText(state, i);
    if (!text || verdict === "same") continue;
    if (verdict === "differs") differing.push(text.sensorId);
    else {
      put(state.texts, text.sensorId, text.timeUs, text.text);
      state.insertTexts.push(i);
      fresh++;
    }
  }
  if (differing.length > 0) refused.push(conflict(part, differing, "another value is stored for that time"));
  if (message.telemetry === undefined && refused.length === 0) throw new Error("a message without a fate");
  return fresh;
}

/** A message sent again brings nothing new; if it says something else, it is kept aside as a whole. */
function judgeRepeated(state: State, message: BatchMessage, part: MessagePart, refused: Refusal[]): void {
  const ownTime = message.telemetry?.samples.some(({ clock }) => clock === "device") ?? false;
  const differing: number[] = [];
  for (let row = part.rowFrom; row < part.rowTo; row++) {
    const verdict = ofNumber(state, row);
    // without a time of its own it came in under another one than the first time
    if (verdict === "same" || (verdict === "new" && !ownTime && state.known.echoes.has(row))) continue;
    differing.push(state.plan.rows.sensorIds[row] as number);
  }
  for (let i = part.textFrom; i < part.textTo; i++) {
    if (ofText(state, i) !== "same") differing.push(state.plan.texts[i]?.sensorId ?? 0);
  }
  if (differing.length > 0) {
    refused.push(conflict(part, differing, "the sequence number was received before with other readings"));
  }
}

function ofNumber({ plan: { rows }, known, numbers }: State, row: number): Verdict {
  const stored =
    numbers.get(rows.sensorIds[row] as number)?.get(rows.timesUs[row] as number) ?? known.values.get(row);
  if (stored === undefined) return "new";
  const value = rows.values[row] as number;
  return stored === value || (Number.isNaN(stored) && Number.isNaN(value)) ? "same" : "differs";
}

function ofText({ plan, known, texts }: State, index: number): Verdict {
  const text = plan.texts[index];
  const stored = (text && texts.get(text.sensorId)?.get(text.timeUs)) ?? known.texts.get(index);
  if (stored === undefined) return "new";
  return stored === text?.text ? "same" : "differs";
}

function put<T>(map: Map<number, Map<number, T>>, sensorId: number, timeUs: number, value: T): void {
  const ofSensor = map.get(sensorId);
  if (ofSensor) ofSensor.set(timeUs, value);
  else map.set(sensorId, new Map([[timeUs, value]]));
}

function conflict(part: MessagePart, sensorIds: readonly number[], what: string): Refusal {
  const names = new Map([...(part.device?.sensors ?? [])].map(([code, { id }]) => [id, code]));
  const fields = [...new Set(sensorIds)].slice(0, 5).map((id) => `'${names.get(id) ?? id}'`);
  return { reason: "conflicting_duplicate", detail: `${what}: ${fields.join(", ")}` };
}
