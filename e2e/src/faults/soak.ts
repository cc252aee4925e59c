import { type Fault, type Injection, repeatFor } from "./fault.ts";
import { findServices, signalService } from "./rig.ts";
import { readRssMb } from "./watch.ts";

const KILLED = ["ingest-gateway", "stream-worker", "influx-writer"];
const LOOK_EVERY_MS = 5_000;
/** What a process may have more in the last third than in the first, besides a tenth: caches that fill, a fresh heap. */
const GROWTH_MB = 24;

/** Most memory of each service in the first, second and last third. */
type Thirds = Map<string, [number, number, number]>;

/** Load and random kills for all of the time; memory that keeps growing is a leak that a short run does not show. */
async function soak(injection: Injection): Promise<void> {
  const { rig, random, loadSeconds, expect, note, undo } = injection;
  const forMs = loadSeconds * 950;
  const startMs = performance.now();
  const thirds: Thirds = new Map();
  const look = () => {
    const third = Math.min(2, Math.floor((3 * (performance.now() - startMs)) / forMs));
    for (const { name, pid } of findServices(rig)) {
      const peaks = thirds.get(name) ?? [0, 0, 0];
      peaks[third] = Math.max(peaks[third] ?? 0, readRssMb(pid));
      thirds.set(name, peaks);
    }
  };
  const timer = setInterval(look, LOOK_EVERY_MS);
  undo(() => clearInterval(timer));
  let kills = 0;
  await repeatFor(injection, forMs, [15_000, 45_000], () => {
    const name = KILLED[Math.floor(random(0, KILLED.length))] ?? "stream-worker";
    signalService(rig, name, "SIGKILL");
    kills++;
  });
  for (const [name, [first, , last]] of thirds)
    expect("O6", last <= first * 1.1 + GROWTH_MB, `${name} grew from ${first} to ${last} MB`);
  const memory = [...thirds].map(([name, peaks]) => `${name} ${peaks.join("/")} MB`);
  note(`${kills} kills; memory by thirds: ${memory.join(", ")}`);
}

/** Half an hour by default (`--soak`), or as many seconds as said. */
export const createSoak = (seconds: number, rate: number): Fault => ({
  id: "soak",
  title: `everything: ${Math.round(seconds / 60)} minutes of load with a process killed every half minute`,
  inject: soak,
  load: { seconds, rate, devices: 20 },
});
