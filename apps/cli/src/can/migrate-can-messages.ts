import { setTimeout as delay } from "node:timers/promises";
import type { Bus } from "@sluice/bus";
import {
  type CanMessageRow,
  type CanMessages,
  type Db,
  type ExpectedReading,
  findCanProgress,
  findDifferences,
  saveCanProgress,
} from "@sluice/db";
import { createMessageBuilder, type Mark, waitProcessed } from "@sluice/intake";
import {
  CAN_NODES,
  GROUPS,
  InvalidInputError,
  keepPayload,
  OutageError,
  partitionOf,
  type Rejected,
  readingsOfDecoded,
  streamKey,
} from "@sluice/shared-types";

const PAGE = 2_000;
const RETRY_MS = 1_000;
const PROBLEMS_SHOWN = 20;

/** What a migration did, and what a look at every old row against the new tables found. */
export interface CanMigrationReport {
  complete: boolean;
  /** Ids after this one were taken this time. */
  resumedAfterId: number;
  lastId: number;
  /** Rows of the old table up to the last id, and the bounds of their times. */
  rows: number;
  from: string | null;
  to: string | null;
  rowsMigrated: number;
  /** Rows that cannot be migrated, by reason; they are in quarantine. */
  rowsRefused: Record<string, number>;
  readings: number;
  verified: boolean;
  missing: number;
  different: number;
  problems: string[];
  sensors: SensorReport[];
}

/** One sensor in both tables. */
export interface SensorReport {
  device: string;
  sensor: string;
  readings: number;
  nulls: number;
  min: number | null;
  max: number | null;
  first: string;
  last: string;
}

/** How to migrate. */
export interface CanMigrationOptions {
  partitions: number;
  stallMs: number;
  /** Take every row again, whatever was migrated before. */
  again: boolean;
  signal: AbortSignal;
  onProgress(rows: number): void;
}

type Translated = { device: string; timeUs: number; readings: Record<string, number | null> };

/**
 * Publishes the old rows through the bus, waits until they are stored, then compares every one of them with what is
 * stored. Safe to interrupt and to run again: it goes on behind the last row that the bus had made durable.
 */
export async function migrateCanMessages(
  source: CanMessages,
  bus: Bus,
  db: Db,
  options: CanMigrationOptions,
): Promise<CanMigrationReport> {
  const resumedAfterId = options.again ? 0 : await findCanProgress(db);
  const lastId = await source.lastId();
  const marks = await publishRows(source, bus, db, { ...options, from: resumedAfterId, lastId });
  const processed =
    marks !== undefined && (await waitProcessed(bus, marks, { ...options, onWaiting: () => {} }));
  const report = await verify(source, db, lastId, options.signal);
  return { ...report, resumedAfterId, complete: processed && !options.signal.aborted };
}

async function publishRows(
  source: CanMessages,
  bus: Bus,
  db: Db,
  options: CanMigrationOptions & { from: number; lastId: number },
): Promise<Map<string, Mark> | undefined> {
  const { signal, partitions } = options;
  const marks = new Map<string, Mark>();
  let done = 0;
  for (let id = options.from; id < options.lastId; ) {
    if (signal.aborted) return undefined;
    const rows = (await source.after(id, PAGE)).filter((row) => row.id <= options.lastId);
    const end = rows.at(-1);
    if (!end) break;
    const texts = new Map<string, string[]>();
    const add = (stream: string, text: string) => texts.set(stream, [...(texts.get(stream) ?? []), text]);
    const builder = createMessageBuilder({ type: "can_messages", receivedUs: Date.now() * 1000 });
    const put = (messages: ReturnType<typeof builder.flush>) => {
      for (const { device, text } of messages)
        add(streamKey("telemetry", partitionOf(device, partitions)), text);
    };
    for (const row of rows) {
      const result = translate(row);
      if ("reason" in result) add(streamKey("rejected"), JSON.stringify(refusal(row, result)));
      else put(builder.add({ timeUs: result.timeUs, devices: new Map([[result.device, result.readings]]) }));
    }
    put(builder.flush());
    for (const [stream, list] of texts) {
      const ids = await publishAll(bus, stream, list, signal);
      if (!ids) return undefined;
      marks.set(stream, { entry: ids.at(-1)?.split("#")[0] ?? "", atMs: performance.now() });
    }
    await saveCanProgress(db, end.id);
    id = end.id;
    done += rows.length;
    options.onProgress(done);
  }
  return marks;
}

async function publishAll(
  bus: Bus,
  stream: string,
  texts: readonly string[],
  signal: AbortSignal,
): Promise<string[] | undefined> {
  while (!signal.aborted) {
    try {
      await bus.ensureGroup(stream, GROUPS.postgres);
      return await bus.publish(stream, texts);
    } catch (error) {
      if (!(error instanceof OutageError)) throw error;
      await delay(RETRY_MS, undefined, { signal }).catch(() => {});
    }
  }
  return undefined;
}

function translate(row: CanMessageRow): Translated | { reason: Rejected["reason"]; detail: string } {
  try {
    const node = CAN_NODES.find((one) => one.node === row.node);
    if (!node) throw new InvalidInputError("unknown_can_node", `no CAN node ${row.node ?? "?"} is known`);
    if (row.timeUs === null) throw new InvalidInputError("bad_frame", "the row has no time");
    const { readings } = readingsOfDecoded(node, row.messageType ?? "", objectOf(row.decoded));
    return { device: node.device, timeUs: row.timeUs, readings };
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error;
    return { reason: error.code, detail: error.message };
  }
}

function objectOf(text: string | null): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text ?? "null");
    // The older table kept JSON as a string.
    const inner: unknown = typeof value === "string" ? JSON.parse(value) : value;
    if (typeof inner === "object" && inner !== null) return inner as Record<string, unknown>;
  } catch (cause) {
    throw new InvalidInputError("bad_frame", "decoded_data is not JSON", { cause });
  }
  throw new InvalidInputError("bad_frame", "decoded_data is no object");
}

/** The id makes the same row the same refusal, however often it is migrated. */
function refusal(
  row: CanMessageRow,
  { reason, detail }: { reason: Rejected["reason"]; detail: string },
): Rejected {
  return {
    reason,
    detail,
    source: "can",
    receivedUs: row.timeUs ?? 0,
    messageId: `can_messages/${row.id}`,
    ...keepPayload(JSON.stringify(row)),
  };
}

/** Goes through the old table once more. */
async function verify(
  source: CanMessages,
  db: Db,
  lastId: number,
  signal: AbortSignal,
): Promise<Omit<CanMigrationReport, "resumedAfterId" | "complete">> {
  const { rows, first, last } = await source.summary(lastId);
  const report = {
    lastId,
    rows,
    from: first?.toISOString() ?? null,
    to: last?.toISOString() ?? null,
    rowsMigrated: 0,
    rowsRefused: {} as Record<string, number>,
    readings: 0,
    verified: false,
    missing: 0,
    different: 0,
    problems: [] as string[],
  };
  const sensors = new Map<string, SensorReport>();
  for (let id = 0; id < lastId && !signal.aborted; ) {
    const page = (await source.after(id, PAGE)).filter((row) => row.id <= lastId);
    const end = page.at(-1);
    if (!end) break;
    id = end.id;
    const expected: ExpectedReading[] = [];
    for (const row of page) {
      const result = translate(row);
      if ("reason" in result) {
        report.rowsRefused[result.reason] = (report.rowsRefused[result.reason] ?? 0) + 1;
        continue;
      }
      report.rowsMigrated++;
      for (const [field, value] of Object.entries(result.readings))
        expected.push({ device: result.device, field, timeUs: result.timeUs, value });
    }
    for (const reading of expected) tally(sensors, reading);
    report.readings += expected.length;
    const found = await findDifferences(db, expected);
    report.missing += found.missing.length;
    report.different += found.different.length;
    for (const index of [...found.missing, ...found.different]) {
      const reading = expected[index];
      if (reading && report.problems.length < PROBLEMS_SHOWN)
        report.problems.push(
          `${reading.field} at ${isoOf(reading.timeUs)}: ${reading.value} is ${found.missing.includes(index) ? "not stored" : "stored otherwise"}`,
        );
    }
  }
  const list = [...sensors.values()].sort((a, b) => (a.sensor < b.sensor ? -1 : 1));
  const verified = !signal.aborted && report.missing === 0 && report.different === 0;
  return { ...report, verified, sensors: list };
}

const isoOf = (timeUs: number) => new Date(timeUs / 1000).toISOString();

function tally(sensors: Map<string, SensorReport>, { device, field, timeUs, value }: ExpectedReading): void {
  const time = isoOf(timeUs);
  const one = sensors.get(field) ?? {
    device,
    sensor: field,
    readings: 0,
    nulls: 0,
    min: null,
    max: null,
    first: time,
    last: time,
  };
  one.readings++;
  if (value === null) one.nulls++;
  else {
    one.min = Math.min(one.min ?? value, value);
    one.max = Math.max(one.max ?? value, value);
  }
  if (time < one.first) one.first = time;
  if (time > one.last) one.last = time;
  sensors.set(field, one);
}
