import { statfs } from "node:fs/promises";
import type { Bus } from "@sluice/bus";
import { type Db, type JobFreshness, listJobFreshness } from "@sluice/db";
import type { Metrics } from "@sluice/service-kit";
import { OutageError, type StreamKind, streamKey } from "@sluice/shared-types";

/** What the alert rules of Prometheus look at. */
export interface FlowSources {
  bus: Bus;
  db: Db;
  partitions: number;
  /** Folder whose disk is watched. */
  dataDir: string;
}

interface Flow {
  streams: { stream: string; accepted: number; groups: GroupFlow[] }[];
  memory: { used: number; max: number };
  jobs: JobFreshness[];
  disk: { free: number; size: number };
}

interface GroupFlow {
  group: string;
  unread: number;
  pending: number;
  parked: number;
  oldestPendingSeconds: number;
  balanced: boolean;
  lost: number;
}

const KINDS: readonly StreamKind[] = ["telemetry", "rejected"];
/** One look serves all gauges of a scrape. */
const LOOK_MS = 1_000;

/**
 * Registers gauges of the whole path, looked up at each scrape: lag, ledger, memory of the bus, jobs, disk. While a
 * server cannot be asked they are absent, and `flow_known` is 0.
 */
export function createFlowMetrics(metrics: Metrics, sources: FlowSources): void {
  let looked: Promise<Flow | undefined> = Promise.resolve(undefined);
  let lookedMs = Number.NEGATIVE_INFINITY;
  const look = () => {
    if (performance.now() - lookedMs > LOOK_MS) {
      lookedMs = performance.now();
      looked = lookAt(sources);
    }
    return looked;
  };
  const gauge = <L extends string>(
    name: string,
    help: string,
    labels: readonly L[],
    read: (flow: Flow) => readonly (readonly [Record<L, string>, number])[],
  ) =>
    metrics.gauge<L>(name, help, labels, async (it) => {
      const flow = await look();
      it.reset();
      if (flow) for (const [label, value] of read(flow)) it.set(label, value);
    });
  metrics.gauge("flow_known", "Whether bus and database could be asked", [], async (it) =>
    it.set((await look()) ? 1 : 0),
  );
  const perGroup = (name: string, help: string, of: (group: GroupFlow) => number) =>
    gauge(name, help, ["stream", "group"], ({ streams }) =>
      streams.flatMap(({ stream, groups }) =>
        groups.map((one) => [{ stream, group: one.group }, of(one)] as const),
      ),
    );
  perGroup("group_unread_messages", "Messages not yet delivered to the group", ({ unread }) => unread);
  perGroup("group_pending_messages", "Messages delivered and not acknowledged", ({ pending }) => pending);
  perGroup("group_parked_messages", "Messages kept in the database for the group", ({ parked }) => parked);
  perGroup(
    "group_oldest_pending_seconds",
    "Age of the oldest pending entry",
    (one) => one.oldestPendingSeconds,
  );
  perGroup("ledger_balanced", "1 while every accepted message is accounted for", ({ balanced }) =>
    balanced ? 1 : 0,
  );
  perGroup("ledger_lost_messages", "Messages that vanished from the bus", ({ lost }) => lost);
  gauge("accepted_messages", "Messages ever accepted on a stream", ["stream"], ({ streams }) =>
    streams.map(({ stream, accepted }) => [{ stream }, accepted] as const),
  );
  gauge("bus_memory_bytes", "Memory of the bus's server", ["what"], ({ memory }) => [
    [{ what: "used" }, memory.used],
    [{ what: "max" }, memory.max],
  ]);
  gauge("job_last_success_seconds", "When a job last completed, Unix time", ["job_name"], ({ jobs }) =>
    jobs.flatMap(({ job, lastSuccess }) =>
      lastSuccess === null ? [] : [[{ job_name: job }, lastSuccess.getTime() / 1000] as const],
    ),
  );
  gauge("job_overdue_windows", "Windows of a job that failed and are due again", ["job_name"], ({ jobs }) =>
    jobs.map(({ job, failedWindows }) => [{ job_name: job }, failedWindows] as const),
  );
  gauge("disk_bytes", "Disk of the data folder", ["what"], ({ disk }) => [
    [{ what: "free" }, disk.free],
    [{ what: "size" }, disk.size],
  ]);
}

async function lookAt({ bus, db, partitions, dataDir }: FlowSources): Promise<Flow | undefined> {
  try {
    const keys = KINDS.flatMap((kind) => Array.from({ length: partitions }, (_, i) => streamKey(kind, i)));
    const [streams, room, jobs, disk] = await Promise.all([
      Promise.all(keys.map((stream) => lookAtStream(bus, stream))),
      bus.room(),
      listJobFreshness(db),
      statfs(dataDir),
    ]);
    return {
      streams,
      memory: { used: room.usedBytes ?? Number.NaN, max: room.maxBytes ?? Number.NaN },
      jobs,
      disk: { free: disk.bavail * disk.bsize, size: disk.blocks * disk.bsize },
    };
  } catch (error) {
    if (error instanceof OutageError) return undefined;
    throw error;
  }
}

async function lookAtStream(bus: Bus, stream: string): Promise<Flow["streams"][number]> {
  const [lag, ledger] = await Promise.all([bus.lag(stream), bus.ledger(stream)]);
  const groups = lag.groups.map(({ group, unread, pending, parked, oldestPendingMs }) => {
    const account = ledger.find((one) => one.group === group);
    return {
      ...{ group, unread, pending, parked, balanced: account?.balanced ?? true, lost: account?.lost ?? 0 },
      oldestPendingSeconds: (oldestPendingMs ?? 0) / 1000,
    };
  });
  return { stream, accepted: lag.accepted, groups };
}
