import type { Log } from "./log.ts";

/** What JetStream says about when it writes to disk, from `/varz` of its monitoring port. */
export interface JetStreamSync {
  jetstream?: { config?: { sync_interval?: number; sync_always?: boolean } };
}

/** How the bus was opened, as far as it decides what is safe. */
export interface NatsSafety {
  /** Of the server. */
  version: string;
  replicas: number;
  /** Monitoring address (`?monitor=http://host:8222`), where one was given. */
  monitor: string | undefined;
}

const ASK_TIMEOUT_MS = 3_000;
/** From 2.10 on a server can be told `sync_interval: always`. */
const KNOWS_SYNC = [2, 10] as const;

/** What may lose an acknowledged message, in words; nothing where all is well. */
export function findUnsafe(
  { version, replicas, monitor }: NatsSafety,
  varz: JetStreamSync | undefined,
): string[] {
  const wrong: string[] = [];
  if (replicas < 3) wrong.push("a stream has fewer than three replicas (?replicas=3)");
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const knows = major > KNOWS_SYNC[0] || (major === KNOWS_SYNC[0] && minor >= KNOWS_SYNC[1]);
  if (!knows) {
    wrong.push(`NATS ${version} writes to disk every two minutes and cannot be told otherwise (2.10 can)`);
  } else if (varz === undefined) {
    const how =
      monitor === undefined ? "give ?monitor=http://host:8222 to have it checked" : `${monitor} did not say`;
    wrong.push(`sync_interval must be always: ${how}`);
  } else if (varz.jetstream?.config?.sync_always !== true) {
    wrong.push("sync_interval is not always");
  }
  return wrong;
}

/**
 * Checks that what JetStream acknowledges survives the loss of power of all its servers at once. What is wrong is
 * logged; with `required`, a server that knows `sync_interval` and has it at anything but `always` is refused.
 */
export async function checkNatsDurability(safety: NatsSafety, required: boolean, log: Log): Promise<void> {
  const varz = safety.monitor === undefined ? undefined : await readVarz(safety.monitor);
  const wrong = findUnsafe(safety, varz);
  if (wrong.length === 0) return;
  const text = `a power cut may lose acknowledged messages: ${wrong.join("; ")}`;
  if (required && wrong.some((one) => one.startsWith("sync_interval is not"))) throw new Error(text);
  log.warn({ ...safety }, text);
}

async function readVarz(monitor: string): Promise<JetStreamSync | undefined> {
  try {
    const answer = await fetch(new URL("/varz", monitor), { signal: AbortSignal.timeout(ASK_TIMEOUT_MS) });
    return answer.ok ? ((await answer.json()) as JetStreamSync) : undefined;
  } catch {
    return undefined;
  }
}
