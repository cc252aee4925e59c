import type { ConsumeOptions, Entry, EntryOutcome } from "@sluice/bus";
import type { InfluxVersion, Point, PointWriter } from "@sluice/influx";
import {
  decodeMessage,
  InvalidInputError,
  isTombstone,
  type Reason,
  type Rejected,
  type Telemetry,
} from "@sluice/shared-types";
import { toPoints } from "./data-model.ts";
import type { DeviceDirectory } from "./device-tags.ts";
import type { Erasures } from "./erasures.ts";
import type { FirstValues } from "./first-values.ts";
import { type Refusal, toRejected } from "./rejection.ts";
import type { SeriesBudget } from "./series-budget.ts";
import type { TagHistory } from "./tag-history.ts";

/** What writing a batch needs. */
export interface WriteBatchDependencies {
  points: PointWriter;
  influxVersion: InfluxVersion;
  /** Points that are gathered before they are written. */
  batchSize: number;
  directory: DeviceDirectory;
  tagHistory: TagHistory;
  budget: SeriesBudget;
  firstValues: FirstValues;
  erasures: Pick<Erasures, "erase" | "recall" | "leave">;
  /** Resolves once they are durable. */
  reject(rejected: readonly Rejected[]): Promise<void>;
  /** Told of every batch that is settled. */
  onWritten?(written: WrittenBatch): void;
}

/** What became of a batch. */
export interface WrittenBatch {
  points: number;
  /** Messages that hold nothing but nulls: InfluxDB has no place for them, they count as stored. */
  empty: number;
  /** Messages whose own tags were left out, being too many. */
  untagged: number;
  /** Refused parts of messages. */
  refused: readonly { reason: Reason; device?: string; detail: string }[];
  /** When each message had been received, microseconds since the epoch. */
  receivedUs: readonly number[];
}

/** One message on its way. */
interface Item {
  id: string;
  /** Position among all messages of the stream; 0 where somebody appended it by hand. */
  ordinal: number;
  /** It may have been published before a tombstone that was carried out already. */
  late: boolean;
  text: string;
  /** Undefined where it could not be read. */
  device?: string;
  receivedUs?: number;
  /** Points that are to be written, and how many of them at least one field was stored of. */
  points: number;
  stored: number;
  untagged: boolean;
  refusals: Refusal[];
  /** It says something else of an instant than a point that was written before. */
  contradicts: boolean;
}

/** A point, whose it is, and how many of its fields were refused. */
interface Outgoing {
  item: Item;
  point: Point;
  refused: number;
}

/**
 * Creates what the consumer does with entries: writes the messages of all of them together, and says what became
 * of each once InfluxDB has confirmed every point or refused it by name, and what was refused is durable in
 * `rejected`. A message counts as stored if anything of it was. Handling an entry again writes the same points
 * again, which changes nothing.
 */
export function createWriteBatch(
  dependencies: WriteBatchDependencies,
): Pick<ConsumeOptions, "handle" | "quarantine"> {
  const { points: writer, batchSize, reject, onWritten } = dependencies;

  async function write(outgoing: readonly Outgoing[]): Promise<void> {
    for (const part of await writer.write(outgoing.map(({ point }) => point))) {
      const out = outgoing[part.index];
      if (!out) continue;
      out.refused += part.fields.length;
      out.item.refusals.push({ reason: part.reason, detail: `${listFields(part.fields)}: ${part.message}` });
    }
    for (const { item, point, refused } of outgoing) {
      if (refused < Object.keys(point.fields).length) item.stored++;
    }
  }

  async function handle(entries: readonly Entry[]): Promise<EntryOutcome[]> {
    const batch = entries.map(createItems);
    const items = batch.flat();
    let outgoing: Outgoing[] = [];
    let points = 0;
    const flush = async () => {
      points += outgoing.length;
      await write(outgoing);
      outgoing = [];
    };
    for (const slice of sliceItems(items)) {
      if (slice.some(({ text }) => isTombstone(text))) {
        await flush();
        for (const item of slice) await erase(item, dependencies);
        continue;
      }
      await preparePoints(slice, dependencies, outgoing);
      if (outgoing.length >= batchSize) await flush();
    }
    await flush();
    const rejected = items.flatMap(({ id, text, refusals }) => toRejected(id, text, refusals));
    if (rejected.length > 0) await reject(rejected);
    onWritten?.(summarise(items, points));
    return batch.map((own, i) => outcomeOf(entries[i]?.id ?? "", own));
  }

  async function quarantine(entry: Entry, error: InvalidInputError): Promise<EntryOutcome> {
    const refusals = [{ reason: error.code, detail: error.message }];
    const items = createItems(entry);
    await reject(items.flatMap(({ id, text }) => toRejected(id, text, refusals)));
    return { id: entry.id, stored: 0, duplicate: 0, quarantined: items.length };
  }

  return { handle, quarantine };
}

const SLICE_MESSAGES = 512;
const SLICE_CHARS = 1_000_000;

/** Parts of a batch that are decoded at a time: points take less memory than messages. A tombstone is one of its own. */
function* sliceItems(items: readonly Item[]): Generator<Item[]> {
  let slice: Item[] = [];
  let chars = 0;
  for (const item of items) {
    const alone = isTombstone(item.text);
    const full = slice.length >= SLICE_MESSAGES || chars + item.text.length > SLICE_CHARS;
    if (slice.length > 0 && (full || alone)) {
      yield slice;
      slice = [];
      chars = 0;
    }
    if (alone) {
      yield [item];
      continue;
    }
    slice.push(item);
    chars += item.text.length;
  }
  if (slice.length > 0) yield slice;
}

const createItems = ({ id, ordinal, attempts, messages }: Entry): Item[] =>
  messages.map((text, i) => ({
    id: `${id}#${i}`,
    ordinal: ordinal === 0 ? 0 : ordinal + i,
    late: attempts !== 1,
    text,
    points: 0,
    stored: 0,
    untagged: false,
    refusals: [],
    contradicts: false,
  }));

function readMessage(item: Item): Telemetry | undefined {
  try {
    const message = decodeMessage(item.text);
    item.device = message.device;
    item.receivedUs = message.receivedUs;
    return message;
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error;
    item.refusals.push({ reason: error.code, detail: error.message });
    return undefined;
  }
}

/** Carries a tombstone out; one that cannot be, or cannot be read, is refused by name. */
async function erase(
  item: Item,
  { erasures, firstValues, influxVersion }: WriteBatchDependencies,
): Promise<void> {
  const tombstone = readMessage(item)?.tombstone;
  if (!tombstone) return;
  if (influxVersion === 3) {
    item.refusals.push({ reason: "bad_value", detail: "InfluxDB 3 cannot delete: the points stay" });
    return;
  }
  await erasures.erase(tombstone, item.ordinal);
  firstValues.forget();
}

async function preparePoints(
  items: readonly Item[],
  dependencies: WriteBatchDependencies,
  outgoing: Outgoing[],
): Promise<void> {
  const messages = items.map(readMessage);
  const devices = messages.flatMap((message) => (message ? [message.device] : []));
  const known = await dependencies.directory.find(devices);
  if (items.some(({ late }) => late)) await dependencies.erasures.recall(devices);
  for (const [i, whole] of messages.entries()) {
    const item = items[i];
    const message = whole && item && dependencies.erasures.leave(whole, item.ordinal);
    const present = message && known.get(message.device);
    if (!item || !present) continue;
    const tags = dependencies.tagHistory.tagsAt(message.device, message.samples[0]?.timeUs ?? 0, present);
    for (const point of toPoints(message, tags)) {
      item.points++;
      const admitted = admit(item, message, point, dependencies);
      if (admitted) outgoing.push({ item, point: admitted, refused: 0 });
    }
  }
}

/** The point as it may be written; what may not is noted with the message. */
function admit(
  item: Item,
  message: Telemetry,
  whole: Point,
  { budget, firstValues }: WriteBatchDependencies,
): Point | undefined {
  if (!Number.isSafeInteger(whole.timeUs) || whole.measurement === "") {
    item.refusals.push({ reason: "bad_value", detail: "a point needs a measurement and a time" });
    return undefined;
  }
  const { point, refused, untagged } = budget.admit(message.device, whole);
  if (untagged) item.untagged = true;
  if (refused.length > 0) {
    const detail = `${listFields(refused)}: the device has too many series or fields in InfluxDB`;
    item.refusals.push({ reason: "sensor_budget", detail });
  }
  if (!point) return undefined;
  if (message.correction) {
    firstValues.replace(point);
    return point;
  }
  const first = firstValues.admit(point);
  // PostgreSQL, which finds every such contradiction, keeps it in quarantine: once is enough.
  if (first.conflicts.length > 0) item.contradicts = true;
  return first.point;
}

const clip = (text: string) => (text.length > 500 ? `${text.slice(0, 500)}…` : text);
const listFields = (fields: readonly string[]) => clip(fields.map((field) => `'${field}'`).join(", "));

function outcomeOf(id: string, items: readonly Item[]): EntryOutcome {
  const outcome: EntryOutcome = { id, stored: 0, duplicate: 0, quarantined: 0 };
  for (const { stored, refusals, contradicts } of items) {
    if (stored > 0) outcome.stored++;
    else if (refusals.length > 0) outcome.quarantined++;
    else if (contradicts) outcome.duplicate++;
    // Without a point and without a refusal it holds only nulls: all of it that InfluxDB can hold is there.
    else outcome.stored++;
  }
  return outcome;
}

function summarise(items: readonly Item[], points: number): WrittenBatch {
  const refused = items.flatMap(({ device, refusals }) =>
    refusals.map(({ reason, detail }) => ({ reason, detail, ...(device === undefined ? {} : { device }) })),
  );
  return {
    points,
    empty: items.filter(({ device, points }) => device !== undefined && points === 0).length,
    untagged: items.filter(({ untagged }) => untagged).length,
    refused,
    receivedUs: items.flatMap(({ receivedUs }) => (receivedUs === undefined ? [] : [receivedUs])),
  };
}
