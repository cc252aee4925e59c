import type { Bus } from "@sluice/bus";
import {
  type Db,
  findParkedEntry,
  findTracedDevice,
  listSequenceLives,
  listTracedReadings,
  listTracedRefusals,
  listTurnedAway,
  type RefusalQuery,
  type SequenceLife,
  type TracedDevice,
  type TracedReading,
  type TracedRefusal,
  type TurnedAway,
} from "@sluice/db";
import { type Influx, influxQl } from "@sluice/influx";
import { OutageError, type Telemetry } from "@sluice/shared-types";
import { type FoundMessage, findById, findOnBus } from "./find-on-bus.ts";

/** What is looked for. */
export type TraceQuery =
  | { by: "seq"; device: string; seq: number; boot?: string }
  | { by: "time"; device: string; atMs: number; withinMs: number }
  | { by: "message"; entryId: string; index: number };

/** Where to look. */
export interface TraceSources {
  bus: Bus;
  db: Db;
  /** Missing where the installation has none. */
  influx: Influx | undefined;
  streams: readonly string[];
}

/** A message on the bus, hop by hop. */
export interface TracedMessage {
  id: string;
  ordinal: number;
  source: string;
  topic?: string;
  type: string;
  boot?: string;
  seq?: number;
  receivedAt: string;
  acceptedAt: string;
  /** In every group: unread, pending, settled or parked. */
  groups: Record<string, string>;
  sampleTimes: string[];
}

/** Everything that is known. */
export interface TraceReport {
  device: string | undefined;
  known: TracedDevice | undefined;
  /** One sentence: what became of it. */
  verdict: string;
  state: "stored" | "refused" | "waiting" | "settled" | "missing" | "unknown";
  messages: TracedMessage[];
  /** Lives of the device in which the sequence number lies. */
  sequences: SequenceLife[];
  readings: TracedReading[];
  /** Points, as `measurement` and their fields; null where InfluxDB could not be asked or is not there. */
  influx: { measurement: string; timeUs: number; fields: Record<string, unknown> }[] | null;
  refusals: TracedRefusal[];
  /** Connections and topics refused in the last day; `certain` ones are this device's. */
  turnedAway: TurnedAway[];
}

const MOST_MESSAGES = 5;
const MOST_READINGS = 100;

/** Looks for a message everywhere that it can be. */
export async function traceMessage(sources: TraceSources, query: TraceQuery): Promise<TraceReport> {
  const { bus, db, streams } = sources;
  const found =
    query.by === "message"
      ? [await findById(bus, streams, query.entryId, query.index)].filter((one) => one !== undefined)
      : await findOnBus(bus, streams, query.device, matcher(query), MOST_MESSAGES);
  const byId = query.by === "message" ? `${query.entryId}#${query.index}` : undefined;
  const refusalsById = byId === undefined ? [] : await listTracedRefusals(db, { messageId: byId });
  const device =
    query.by === "message"
      ? (found[0]?.telemetry.device ?? refusalsById[0]?.device ?? undefined)
      : query.device;
  const known = device === undefined ? undefined : await findTracedDevice(db, device);
  const sequences =
    query.by === "seq" ? await listSequenceLives(db, query.device, query.seq, query.boot) : [];
  const range = rangeOf(query, found, sequences);
  const readings =
    device === undefined || !range
      ? []
      : await listTracedReadings(db, device, { ...range, limit: MOST_READINGS });
  const refusals = byId === undefined ? await listTracedRefusals(db, refusalQuery(query)) : refusalsById;
  const messages = await Promise.all(found.map((message) => describe(db, message)));
  const influx = device === undefined || !range ? null : await askInflux(sources.influx, device, range);
  const turnedAway =
    device === undefined ? [] : await listTurnedAway(db, device, known?.username ?? undefined);
  const kept = found.length === 0 ? undefined : found.some(({ telemetry }) => isKept(telemetry, readings));
  const seen = { messages, sequences, readings, refusals, turnedAway, known, query, kept };
  return { device, known, ...judge(seen), messages, sequences, readings, influx, refusals, turnedAway };
}

function matcher(query: Exclude<TraceQuery, { by: "message" }>): (telemetry: Telemetry) => boolean {
  if (query.by === "seq") {
    return ({ seq, boot }) => seq === query.seq && (query.boot === undefined || boot === query.boot);
  }
  const near = (us: number) => Math.abs(us / 1000 - query.atMs) <= query.withinMs;
  return ({ receivedUs, samples }) => near(receivedUs) || samples.some(({ timeUs }) => near(timeUs));
}

function refusalQuery(query: Exclude<TraceQuery, { by: "message" }> | TraceQuery): RefusalQuery {
  if (query.by === "seq") return { device: query.device, seq: query.seq, boot: query.boot };
  if (query.by === "message") return { messageId: `${query.entryId}#${query.index}` };
  const { device, atMs, withinMs } = query;
  return { device, from: new Date(atMs - withinMs), to: new Date(atMs + withinMs) };
}

/** The instants that its readings have; undefined where nothing tells. */
function rangeOf(
  query: TraceQuery,
  found: readonly FoundMessage[],
  sequences: readonly SequenceLife[],
): { fromUs: number; toUs: number } | undefined {
  if (query.by === "time") {
    const { atMs, withinMs } = query;
    return { fromUs: (atMs - withinMs) * 1000, toUs: (atMs + withinMs) * 1000 };
  }
  const times = found.flatMap(({ telemetry }) => telemetry.samples.map(({ timeUs }) => timeUs));
  if (times.length > 0) return { fromUs: Math.min(...times), toUs: Math.max(...times) };
  const life = sequences.find(({ received }) => received);
  return life && query.by === "seq" ? estimate(life, query.seq) : undefined;
}

const SPREAD = 0.02;

/** When a number of a life came, if its numbers came evenly: a row per message would cost more than it tells. */
function estimate(life: SequenceLife, seq: number): { fromUs: number; toUs: number } {
  const [firstUs, lastUs] = [life.firstAt.getTime() * 1000, life.lastAt.getTime() * 1000];
  const share = life.highest === life.lowest ? 0 : (seq - life.lowest) / (life.highest - life.lowest);
  const atUs = firstUs + share * (lastUs - firstUs);
  const spreadUs = Math.max(1_000_000, (lastUs - firstUs) * SPREAD);
  return { fromUs: Math.round(atUs - spreadUs), toUs: Math.round(atUs + spreadUs) };
}

async function describe(db: Db, { telemetry, ...message }: FoundMessage): Promise<TracedMessage> {
  const parked = message.ordinal > 0 ? await findParkedEntry(db, message.stream, message.ordinal) : [];
  const groups = Object.fromEntries(message.fates.map(({ group, state }) => [group, state as string]));
  for (const { group, status } of parked) if (status !== "refilled") groups[group] = "parked";
  const { source, topic, type, boot, seq, receivedUs, samples } = telemetry;
  return {
    id: message.id,
    ordinal: message.ordinal,
    source,
    type,
    ...(topic === undefined ? {} : { topic }),
    ...(boot === undefined ? {} : { boot }),
    ...(seq === undefined ? {} : { seq }),
    receivedAt: iso(receivedUs),
    acceptedAt: new Date(message.acceptedMs).toISOString(),
    groups,
    sampleTimes: samples.map(({ timeUs }) => iso(timeUs)),
  };
}

/** Microseconds as ISO text. */
export function iso(us: number): string {
  const ms = Math.floor(us / 1000);
  return new Date(ms).toISOString().replace("Z", `${String(us - ms * 1000).padStart(3, "0")}Z`);
}

async function askInflux(
  influx: Influx | undefined,
  device: string,
  { fromUs, toUs }: { fromUs: number; toUs: number },
): Promise<TraceReport["influx"]> {
  if (!influx) return null;
  const [from, to] = [BigInt(fromUs) * 1000n, BigInt(toUs) * 1000n];
  try {
    const series = await influx.query(
      influxQl`SELECT * FROM /.*/ WHERE (device_id = ${device} OR sensor_id = ${device})
        AND time >= ${from} AND time <= ${to} LIMIT 100`,
    );
    return series.flatMap(({ name, rows }) =>
      rows.map(({ time, ...columns }) => ({
        measurement: name,
        timeUs: Number(time),
        fields: Object.fromEntries(Object.entries(columns).filter(([, value]) => value !== null)),
      })),
    );
  } catch (error) {
    if (error instanceof OutageError) return null;
    throw error;
  }
}

type Seen = Pick<TraceReport, "messages" | "sequences" | "readings" | "refusals" | "turnedAway" | "known"> & {
  query: TraceQuery;
  /** Whether any reading of the messages found is stored; undefined where none was found. */
  kept: boolean | undefined;
};

function isKept({ samples }: Telemetry, stored: readonly TracedReading[]): boolean {
  const values = new Set(stored.map(({ field, timeUs, value }) => JSON.stringify([field, timeUs, value])));
  return samples.some(({ timeUs, readings }) =>
    readings.some(({ field, value }) => {
      const stored = typeof value === "boolean" ? Number(value) : value;
      return values.has(JSON.stringify([field, timeUs, stored]));
    }),
  );
}

function judge(seen: Seen): Pick<TraceReport, "verdict" | "state"> {
  const { messages, sequences, readings, refusals, query, kept } = seen;
  // What InfluxDB alone refused is stored.
  const [refusal] = refusals.filter(({ source }) => source !== "influx");
  const waiting = messages.filter(
    ({ groups }) => groups.postgres !== undefined && groups.postgres !== "settled",
  );
  if (waiting.length > 0) {
    return { state: "waiting", verdict: "accepted, and waiting to be stored: see ./sluice lag" };
  }
  if (refusal && kept !== true) {
    const part = kept === false || messages.length > 0 ? "" : " (at least in part)";
    return { state: "refused", verdict: `refused${part}: ${refusal.reason}: ${refusal.detail}` };
  }
  if (sequences.some(({ received }) => received) || (readings.length > 0 && query.by !== "seq")) {
    const partly = refusal ? `; refused in part: ${refusal.reason}` : "";
    return { state: "stored", verdict: `stored${partly}` };
  }
  if (readings.length > 0) return { state: "stored", verdict: "stored" };
  if (messages.length > 0) {
    return { state: "settled", verdict: "accepted and settled, but no reading of it is stored: a duplicate" };
  }
  if (sequences.length > 0) {
    return { state: "missing", verdict: "missing: numbers before and after it arrived, it did not" };
  }
  return { state: "unknown", verdict: absence(seen) };
}

function absence({ known, turnedAway, query }: Seen): string {
  if (query.by === "message") return "not on the stream any more, and not refused: look by --device and --at";
  if (!known) return `nothing of it is here, and nobody has registered a device '${query.device}'`;
  const [refused] = turnedAway.filter(({ certain }) => certain);
  if (refused) return `nothing of it arrived; the device was refused: ${refused.reason}: ${refused.detail}`;
  if (known.access === "disabled") return "nothing of it arrived; the device's credential is disabled";
  return "nothing of it arrived here, and nothing of the device was refused in the last day";
}
