import { readdirSync, readFileSync } from "node:fs";

/** Clock ticks a second of /proc; 100 on every Linux that matters. */
const TICKS = 100;

/** CPU seconds used so far and the largest resident size, of a process and everything below it. */
export interface ProcessCost {
  cpuSeconds: number;
  peakRssMb: number;
}

/** Reads the cost of the tree under `pid`; children that have ended count through their parent. */
export function readProcessCost(pid: number): ProcessCost {
  const parents = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = readStat(Number(name));
    if (stat) parents.set(stat.parent, [...(parents.get(stat.parent) ?? []), Number(name)]);
  }
  let cpuSeconds = 0;
  let peakRssMb = 0;
  const visit = (one: number) => {
    const stat = readStat(one);
    if (!stat) return;
    cpuSeconds += stat.ticks / TICKS;
    peakRssMb = Math.max(peakRssMb, readProcessMemory(one).peakMb);
    for (const child of parents.get(one) ?? []) visit(child);
  };
  visit(pid);
  return { cpuSeconds, peakRssMb };
}

function readStat(pid: number): { parent: number; ticks: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text
      .slice(text.lastIndexOf(")") + 2)
      .split(" ")
      .map(Number);
    const [utime = 0, stime = 0, cutime = 0, cstime = 0] = fields.slice(11, 15);
    return { parent: fields[1] ?? 0, ticks: utime + stime + cutime + cstime };
  } catch {
    return undefined; // ended meanwhile
  }
}

/** Resident memory of one process, now and at most so far; 0 where it has ended. */
export function readProcessMemory(pid: number): { mb: number; peakMb: number } {
  try {
    const text = readFileSync(`/proc/${pid}/status`, "utf8");
    const mb = (name: string) =>
      Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)?.[1] ?? 0) / 1024);
    return { mb: mb("VmRSS"), peakMb: mb("VmHWM") };
  } catch {
    return { mb: 0, peakMb: 0 };
  }
}

/**
 * Starts to watch how much of its CPU time this machine does not get, because its host gives it to others; the returned
 * function tells the percentage so far.
 */
export function watchStolen(): () => number {
  const before = readMachineTicks();
  return () => {
    const now = readMachineTicks();
    return Math.round((1000 * (now.stolen - before.stolen)) / Math.max(1, now.all - before.all)) / 10;
  };
}

function readMachineTicks(): { all: number; stolen: number } {
  const [first = ""] = readFileSync("/proc/stat", "utf8").split("\n");
  const ticks = first.trim().split(/\s+/).slice(1, 9).map(Number);
  return { all: ticks.reduce((sum, n) => sum + n, 0), stolen: ticks[7] ?? 0 };
}
