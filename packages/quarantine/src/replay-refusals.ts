import type { Bus } from "@sluice/bus";
import {
  type Db,
  listCredentials,
  listQuarantine,
  type Quarantined,
  type QuarantineFilter,
  replayQuarantined,
} from "@sluice/db";
import { DEFAULT_CLOCK_POLICY, GROUPS, partitionOf, streamKey } from "@sluice/shared-types";
import { type RebuildOptions, type Rebuilt, rebuildMessage } from "./rebuild-message.ts";

/** Reasons that are about who sent a message: replayed only where they are named. */
const REASONS_OF_TRUST: ReadonlySet<string> = new Set([
  "not_authorised",
  "bad_api_key",
  "bad_credentials",
  "bad_client_id",
  "client_id_in_use",
  "device_mismatch",
  "device_disabled",
  "unknown_device",
]);

/** How to replay. */
export interface ReplayOptions {
  limit: number;
  topicRoot: string;
  partitions: number;
  replace: boolean;
  /** The refusals were named one by one, so that it is known what is replayed. */
  named: boolean;
  /** Replay messages whose sender was not trusted. */
  trust: boolean;
  dryRun: boolean;
  signal: AbortSignal;
}

/** What a replay did, or would do. */
export interface ReplayReport {
  replayed: number[];
  skipped: { id: number; reason: string; why: string }[];
}

const PAGE = 200;

/**
 * Puts waiting refusals back onto the bus, oldest first. Each page is locked, published and marked in one
 * transaction: killed in between, the next run publishes it again under the same identity, and it is stored once.
 */
export async function replayRefusals(
  bus: Bus,
  db: Db,
  filter: QuarantineFilter,
  options: ReplayOptions,
): Promise<ReplayReport> {
  const rebuild = await createRebuild(db, options);
  const report: ReplayReport = { replayed: [], skipped: [] };
  let afterId = 0;
  let left = options.limit;
  while (left > 0 && !options.signal.aborted) {
    const page = Math.min(PAGE, left);
    const within = { ...filter, afterId };
    const handle = (rows: Quarantined[]) => handlePage(bus, rows, rebuild, options, report);
    const rows = options.dryRun
      ? await listQuarantine(db, { ...within, status: ["open", "fixed"] }, { limit: page, oldestFirst: true })
      : await replayQuarantined(db, within, page, handle);
    if (options.dryRun) await handle(rows);
    if (rows.length === 0) break;
    left -= rows.length;
    afterId = rows.at(-1)?.id ?? afterId;
  }
  return report;
}

async function createRebuild(db: Db, options: ReplayOptions): Promise<(row: Quarantined) => Rebuilt> {
  const zones = new Map<string, string>();
  for (const { devices, timeZone } of await listCredentials(db)) {
    for (const device of devices) if (!zones.has(device)) zones.set(device, timeZone);
  }
  const rebuilding: RebuildOptions = {
    topicRoot: options.topicRoot,
    clock: DEFAULT_CLOCK_POLICY,
    timeZoneOf: (device) => zones.get(device),
    replace: options.replace,
  };
  return (row) => {
    if (REASONS_OF_TRUST.has(row.reason) && !options.named && !options.trust) {
      return { why: "its sender was not trusted; name its id or --reason to replay it" };
    }
    if (row.reason === "undecodable" && row.status === "open") {
      return { why: "what was kept is no payload; fix it first" };
    }
    if (row.reason === "type_conflict" && row.status === "open" && !options.named) {
      return { why: "it is as it was and would be refused again; fix it first, or name its id" };
    }
    if (row.reason === "conflicting_duplicate" && !options.replace) {
      return { why: "another value is stored already; --replace puts this one in its place" };
    }
    return rebuildMessage(row, rebuilding);
  };
}

/** Publishes what can be; gives the ids of what was. */
async function handlePage(
  bus: Bus,
  rows: readonly Quarantined[],
  rebuild: (row: Quarantined) => Rebuilt,
  options: ReplayOptions,
  report: ReplayReport,
): Promise<number[]> {
  const byStream = new Map<string, { id: number; text: string }[]>();
  const replayed: number[] = [];
  for (const row of rows) {
    const rebuilt = rebuild(row);
    if ("why" in rebuilt) {
      report.skipped.push({ id: row.id, reason: row.reason, why: rebuilt.why });
      continue;
    }
    const stream = streamKey("telemetry", partitionOf(rebuilt.device, options.partitions));
    const list = byStream.get(stream) ?? [];
    byStream.set(stream, list);
    list.push({ id: row.id, text: rebuilt.text });
  }
  for (const [stream, list] of byStream) {
    if (!options.dryRun) {
      await bus.ensureGroup(stream, GROUPS.postgres);
      await bus.publish(
        stream,
        list.map(({ text }) => text),
      );
    }
    replayed.push(...list.map(({ id }) => id));
  }
  report.replayed.push(...replayed);
  return replayed;
}
