import { readdirSync, readFileSync } from "node:fs";
import type { Fault } from "./fault.ts";
import { findServices, type Rig, type ServiceState } from "./rig.ts";

/** What was seen of the processes and their logs while a fault lasted. */
export interface Sighting {
  /** `/ready` has named the dependency. */
  named: boolean;
  /** Milliseconds until it did, from the first moment that it was not ready. */
  said: boolean;
  peakRssMb: number;
  peakFds: number;
  /** Largest number of messages the gateway had taken and not made durable. */
  peakWaiting: number;
  /** Lines that should not be there: unhandled rejections, secrets, floods. */
  bad: string[];
}

const FLOOD_LINES = 300;

/** Looks at the processes until `stop`. */
export function watchSystem(rig: Rig, fault: Fault) {
  rig.takeLines();
  const seen = { named: false, peakRssMb: 0, peakFds: 0, peakWaiting: 0 };
  const asking = new Set<string>();
  const note = async (service: ServiceState) => {
    seen.peakRssMb = Math.max(seen.peakRssMb, readRssMb(service.pid));
    seen.peakFds = Math.max(seen.peakFds, countFds(service.pid));
    seen.named ||= fault.names !== undefined && !service.ready && service.failing.includes(fault.names);
    if (service.name === "ingest-gateway")
      seen.peakWaiting = Math.max(seen.peakWaiting, await readWaiting(service.opsPort));
  };
  // Each on its own: one that is frozen must not keep us from seeing the others.
  const look = () => {
    for (const { name, ask } of findServices(rig)) {
      if (asking.has(name)) continue;
      asking.add(name);
      ask()
        .then(note)
        .catch(() => {}) // between two lives
        .finally(() => asking.delete(name));
    }
  };
  const timer = setInterval(look, 200);
  return {
    stop(secrets: readonly string[]): Sighting {
      clearInterval(timer);
      const lines = rig.takeLines();
      const pattern = fault.says ?? (fault.names === undefined ? undefined : new RegExp(fault.names, "i"));
      const said = lines.some((line) => isComplaint(line) && pattern?.test(line) === true);
      return { ...seen, said, bad: findBad(lines, secrets) };
    },
  };
}

/** A log line of level warn or worse. */
export const isComplaint = (line: string) => /"level":"?(warn|error|fatal|[456]0)/.test(line);

function findBad(lines: readonly string[], secrets: readonly string[]): string[] {
  const bad: string[] = [];
  const counts = new Map<string, number>();
  for (const line of lines) {
    if (/unhandled ?rejection|uncaught ?exception/i.test(line)) bad.push(line.slice(0, 300));
    if (secrets.some((secret) => line.includes(secret))) bad.push("a secret is in the log");
    if (!isComplaint(line)) continue;
    const kind = `${/"service":"([^"]*)"/.exec(line)?.[1]}: ${/"msg":"([^"]*)"/.exec(line)?.[1]}`;
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  for (const [kind, count] of counts) if (count > FLOOD_LINES) bad.push(`${count} lines of "${kind}"`);
  return bad;
}

/** Resident memory of a process; 0 where there is none. */
export function readRssMb(pid: number): number {
  try {
    return Math.round(
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024,
    );
  } catch {
    return 0;
  }
}

function countFds(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0;
  }
}

async function readWaiting(opsPort: number): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${opsPort}/metrics`, { signal: AbortSignal.timeout(1000) });
  return Number(/^sluice_waiting_messages(?:\{[^}]*\})? (\d+)/m.exec(await answer.text())?.[1] ?? 0);
}
