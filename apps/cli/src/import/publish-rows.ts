import { setTimeout as delay } from "node:timers/promises";
import type { Bus } from "@sluice/bus";
import type { Series } from "@sluice/db";
import type { BuiltMessage, MessageBuilder } from "@sluice/intake";
import { GROUPS, OutageError, partitionOf, streamKey } from "@sluice/shared-types";
import type { Table } from "../csv/open-table.ts";
import { countRow, createRowCounts, type RowCounts } from "./row-counts.ts";

/** What was read and published. */
export interface Published {
  counts: RowCounts;
  /** Readings and messages that the bus has made durable. */
  readings: number;
  messages: number;
  /** Readings of each message by its bus id, to find what became of them. */
  byId: Map<string, number>;
  /** Last entry on each stream, and when it was durable (monotonic milliseconds). */
  last: Map<string, { entry: string; atMs: number }>;
  /** False where it was interrupted. */
  complete: boolean;
}

/** How rows are published. */
export interface PublishOptions {
  partitions: number;
  signal: AbortSignal;
  /** Awaited before the first reading of each series is published. */
  onSeries(series: readonly Series[]): Promise<void>;
  onProgress(counts: RowCounts): void;
  onOutage(error: OutageError): void;
}

const MESSAGES_PER_PUBLISH = 64;
const RETRY_MS = 1000;

/**
 * Publishes the rows of a table in order. Resolves once all are durable on the bus, or with what was until then
 * when `signal` aborts. A bus that is full or out of reach is waited for.
 */
export async function publishRows(
  bus: Bus,
  table: Table,
  builder: MessageBuilder,
  options: PublishOptions,
): Promise<Published> {
  const published: Published = {
    counts: createRowCounts(),
    readings: 0,
    messages: 0,
    byId: new Map(),
    last: new Map(),
    complete: false,
  };
  const known = new Set<string>();
  let ready: BuiltMessage[] = [];
  for await (const result of table.rows) {
    if (options.signal.aborted) return published;
    countRow(published.counts, result);
    if (!result.row) continue;
    const fresh = unknownSeries(result.row.devices, known);
    if (fresh.length > 0) await options.onSeries(fresh);
    ready.push(...builder.add(result.row));
    if (ready.length < MESSAGES_PER_PUBLISH) continue;
    if (!(await publishAll(bus, ready, published, options))) return published;
    ready = [];
    options.onProgress(published.counts);
  }
  ready.push(...builder.flush());
  published.complete = await publishAll(bus, ready, published, options);
  options.onProgress(published.counts);
  return published;
}

function unknownSeries(devices: ReadonlyMap<string, Record<string, unknown>>, known: Set<string>): Series[] {
  const fresh: Series[] = [];
  for (const [device, readings] of devices) {
    for (const field in readings) {
      const key = `${device} ${field}`;
      if (known.has(key)) continue;
      known.add(key);
      fresh.push({ device, field });
    }
  }
  return fresh;
}

/** Appends messages, each to its device's stream; false where it was interrupted. */
async function publishAll(
  bus: Bus,
  messages: readonly BuiltMessage[],
  published: Published,
  options: PublishOptions,
): Promise<boolean> {
  const byStream = new Map<string, BuiltMessage[]>();
  for (const message of messages) {
    const stream = streamKey("telemetry", partitionOf(message.device, options.partitions));
    const list = byStream.get(stream);
    if (list) list.push(message);
    else byStream.set(stream, [message]);
  }
  for (const [stream, list] of byStream) {
    const ids = await publishOnce(bus, stream, list, published, options);
    if (!ids) return false;
    for (const [i, id] of ids.entries()) published.byId.set(id, list[i]?.readings ?? 0);
    published.messages += list.length;
    published.readings += list.reduce((sum, { readings }) => sum + readings, 0);
    const entry = ids.at(-1)?.split("#")[0] ?? "";
    published.last.set(stream, { entry, atMs: performance.now() });
  }
  return true;
}

async function publishOnce(
  bus: Bus,
  stream: string,
  list: readonly BuiltMessage[],
  published: Published,
  { signal, onOutage }: PublishOptions,
): Promise<string[] | undefined> {
  while (!signal.aborted) {
    try {
      // without its group the stream would not hold the messages for it
      if (!published.last.has(stream)) await bus.ensureGroup(stream, GROUPS.postgres);
      return await bus.publish(
        stream,
        list.map(({ text }) => text),
      );
    } catch (error) {
      if (!(error instanceof OutageError)) throw error;
      onOutage(error);
      await delay(RETRY_MS, undefined, { signal }).catch(() => {});
    }
  }
  return undefined;
}
