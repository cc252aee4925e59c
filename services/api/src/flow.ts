import type { GroupLag, GroupLedger } from "@sluice/bus";
import {
  countDevices,
  countQuarantine,
  findRollupProgress,
  isSchedulerRunning,
  listQuarantine,
  listRuns,
} from "@sluice/db";
import { GROUPS, streamKey } from "@sluice/shared-types";
import type { Deps } from "./deps.ts";

/** What a consumer group is short of, and whether anybody works for it. */
export interface GroupFlow extends Omit<GroupLag, "lastDeliveredId" | "unreadEntries"> {
  /** Service that works for the group. */
  service: string;
  /** `stopped`: nobody has asked for messages for a while. */
  state: "up" | "stopped";
  stored: number;
  duplicate: number;
  quarantined: number;
  lost: number;
  balanced: boolean;
}

/** One look at the whole path. A part that could not be asked is null. */
export interface FlowSnapshot {
  at: string;
  gateway: { state: "up" | "stopped" };
  bus: {
    state: "up" | "stopped";
    accepted: number;
    entries: number;
    usedBytes: number | null;
    maxBytes: number | null;
  };
  groups: GroupFlow[];
  stores: { postgres: "up" | "stopped"; influx: "up" | "stopped" | "absent" };
  /** Null while PostgreSQL does not answer, as is everything below. */
  scheduler: {
    state: "up" | "stopped";
    lastRun: { job: string; status: string; at: Date; error: string | null } | null;
    rolledUpTo: string | null;
    dirty: number;
  } | null;
  refused: {
    waiting: number;
    last: { id: number; reason: string; detail: string; device: string | null; at: Date } | null;
  } | null;
  devices: Record<string, number> | null;
}

const WAIT_MS = 1500;
/** A consumer shows itself every few seconds, also while nothing comes. */
const SILENT_MS = 12_000;
const BUS_MS = 800;
const STORE_MS = 3000;
const SERVICE_OF: Record<string, string> = {
  [GROUPS.postgres]: "stream-worker",
  [GROUPS.influx]: "influx-writer",
  [GROUPS.alerts]: "alert-worker",
  [GROUPS.can]: "ingest-gateway",
};

/** Gives looks at the path; one is shared by all who ask within its short life. Never rejects. */
export function createFlow(deps: Deps): () => Promise<FlowSnapshot> {
  const streams = Array.from({ length: deps.config.SLUICE_PARTITIONS }, (_, i) => streamKey("telemetry", i));
  const bus = kept(BUS_MS, () => lookAtBus(deps, streams));
  const stores = kept(STORE_MS, () => lookAtStores(deps));
  const gateway = kept(STORE_MS, () => isGatewayUp(deps.config.SLUICE_GATEWAY_URL));
  return async () => {
    const [flow, stored, entrance] = await Promise.all([bus(), stores(), gateway()]);
    return {
      at: new Date().toISOString(),
      gateway: { state: entrance ? "up" : "stopped" },
      ...flow,
      ...stored,
    };
  };
}

async function lookAtBus(
  { bus }: Deps,
  streams: readonly string[],
): Promise<Pick<FlowSnapshot, "bus" | "groups">> {
  const numbers = await within(
    Promise.all([
      Promise.all(streams.map((stream) => bus.lag(stream))),
      Promise.all(streams.map((stream) => bus.ledger(stream))),
    ]),
  );
  if (numbers === undefined) {
    return {
      bus: { state: "stopped", accepted: 0, entries: 0, usedBytes: null, maxBytes: null },
      groups: [],
    };
  }
  const [lags, ledgers] = numbers;
  const all = ledgers.flat();
  const merged = new Map<string, GroupLag[]>();
  for (const group of lags.flatMap(({ groups }) => groups)) {
    merged.set(group.group, [...(merged.get(group.group) ?? []), group]);
  }
  return {
    bus: {
      state: "up",
      accepted: sum(lags, ({ accepted }) => accepted),
      entries: sum(lags, ({ entries }) => entries),
      usedBytes: lags[0]?.usedBytes ?? null,
      maxBytes: lags[0]?.maxBytes ?? null,
    },
    groups: [...merged]
      .sort(([a], [b]) => rankOf(a) - rankOf(b) || a.localeCompare(b))
      .map(([name, parts]) =>
        joinGroup(
          name,
          parts,
          all.filter(({ group }) => group === name),
          bus.pending === undefined,
        ),
      ),
  };
}

/** The authority first, then in the order of the path; groups that are not ours last. */
const rankOf = (group: string) => (Object.keys(SERVICE_OF).indexOf(group) + 1 || 99) - 1;

/** One group over all partitions. `faceless`: the bus knows groups only, so who reads cannot be told. */
function joinGroup(
  group: string,
  lags: readonly GroupLag[],
  ledgers: readonly GroupLedger[],
  faceless: boolean,
): GroupFlow {
  const consumers = lags.flatMap((lag) => lag.consumers);
  const ages = lags.flatMap(({ oldestPendingMs }) => (oldestPendingMs === null ? [] : [oldestPendingMs]));
  return {
    group,
    service: SERVICE_OF[group] ?? group,
    state: faceless || consumers.some(({ idleMs }) => idleMs < SILENT_MS) ? "up" : "stopped",
    unread: sum(lags, ({ unread }) => unread),
    pending: sum(lags, ({ pending }) => pending),
    pendingEntries: sum(lags, ({ pendingEntries }) => pendingEntries),
    parked: sum(lags, ({ parked }) => parked),
    oldestPendingMs: ages.length === 0 ? null : Math.max(...ages),
    consumers,
    stored: sum(ledgers, ({ stored }) => stored),
    duplicate: sum(ledgers, ({ duplicate }) => duplicate),
    quarantined: sum(ledgers, ({ quarantined }) => quarantined),
    lost: sum(ledgers, ({ lost }) => lost),
    balanced: ledgers.every(({ balanced }) => balanced),
  };
}

async function lookAtStores({
  db,
  influx,
}: Deps): Promise<Pick<FlowSnapshot, "stores" | "scheduler" | "refused" | "devices">> {
  const [facts, influxUp] = await Promise.all([
    within(readFacts(db)),
    influx === undefined ? "absent" : within(influx.ping().then(() => true)),
  ]);
  return {
    stores: {
      postgres: facts === undefined ? "stopped" : "up",
      influx: influxUp === "absent" ? "absent" : influxUp ? "up" : "stopped",
    },
    scheduler: facts?.scheduler ?? null,
    refused: facts?.refused ?? null,
    devices: facts?.devices ?? null,
  };
}

async function readFacts(db: Deps["db"]): Promise<Pick<FlowSnapshot, "scheduler" | "refused" | "devices">> {
  const waiting = { status: ["open", "fixed"] as const };
  const [running, [run], rollups, counts, [last], devices] = await Promise.all([
    isSchedulerRunning(db),
    listRuns(db, {}, 1),
    findRollupProgress(db),
    countQuarantine(db, waiting),
    listQuarantine(db, waiting, { limit: 1 }),
    countDevices(db),
  ]);
  return {
    scheduler: {
      state: running ? "up" : "stopped",
      lastRun: run ? { job: run.job, status: run.status, at: run.createdAt, error: run.error } : null,
      rolledUpTo: rollups.doneMs === undefined ? null : new Date(rollups.doneMs).toISOString(),
      dirty: rollups.dirty,
    },
    refused: {
      waiting: sum(counts, ({ count }) => count),
      last: last
        ? { id: last.id, reason: last.reason, detail: last.detail, device: last.device, at: last.receivedAt }
        : null,
    },
    devices: Object.fromEntries(devices.map(({ status, count }) => [status, count])),
  };
}

/** Any answer will do: what it says is the business of whoever sends readings. */
async function isGatewayUp(url: string | undefined): Promise<boolean> {
  if (url === undefined) return false;
  const answer = await within(fetch(new URL("/health", url), { signal: AbortSignal.timeout(WAIT_MS) }));
  await answer?.body?.cancel();
  return answer !== undefined;
}

/** The result; undefined where it fails or takes too long, which is what is wanted to be known. */
async function within<T>(work: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, WAIT_MS, undefined);
  });
  try {
    return await Promise.race([work, late]);
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

/** The last result for as long as it is younger than `lifeMs`. */
function kept<T>(lifeMs: number, work: () => Promise<T>): () => Promise<T> {
  let last: { atMs: number; result: Promise<T> } | undefined;
  return () => {
    const nowMs = performance.now();
    if (last === undefined || nowMs - last.atMs > lifeMs) last = { atMs: nowMs, result: work() };
    return last.result;
  };
}

const sum = <T>(items: readonly T[], pick: (item: T) => number): number =>
  items.reduce((total, item) => total + pick(item), 0);
