import { setTimeout as delay } from "node:timers/promises";
import type { Rig, RigKind } from "./rig.ts";

/** The oracles of the catalogue. */
export type Oracle = "O1" | "O2" | "O3" | "O4" | "O5" | "O6" | "O7";

/** What a fault is given: the system, and chance that repeats with the seed. */
export interface Injection {
  rig: Rig;
  /** Uniform in [from, to). */
  random(from: number, to: number): number;
  sleep(ms: number): Promise<void>;
  /** Seconds the load runs; a fault has to be over by then. */
  loadSeconds: number;
  /** The fleet of this run, its credential, and the boot id of its messages. */
  fleet: { devices: readonly string[]; username: string; password: string; boot: string };
  /** One of the fault's own conditions: the oracle fails with it, and the note says why. */
  expect(oracle: Oracle, held: boolean, what: string): void;
  /** Puts a figure in the note. */
  note(text: string): void;
  /** To be undone when the fault ends, also if causing it failed. */
  undo(action: () => unknown): void;
  /** To be asked once the system has recovered, before the judge looks at the rows. */
  afterwards(question: () => Promise<void>): void;
}

/** One fault of the catalogue, or one of our own. */
export interface Fault {
  /** Id in `catalogues/faults.json`, with a suffix where one entry is several faults; our own begin with X. */
  id: string;
  title: string;
  /** In the subset that every test run includes. */
  quick?: boolean;
  /** The system it needs; `plain` unless it says otherwise. */
  rig?: RigKind;
  /** Causes the fault while the load runs, and ends it. */
  inject?(injection: Injection): Promise<void>;
  /** The dependency that `/ready` of some service has to name while the fault lasts. */
  names?: string;
  /** What a log line has to say meanwhile, where no dependency is down; with `names` the dependency itself. */
  says?: RegExp;
  /** Accepted messages are really gone: then O7 is asked instead of O1 and the balance. */
  lossy?: boolean;
  /** Load other than the usual. */
  load?: Partial<LoadSize>;
  /** Why this machine cannot cause it; undefined where it can. */
  whyNot?(): string | undefined;
}

/** Size of a run. */
export interface LoadSize {
  seconds: number;
  rate: number;
  devices: number;
}

/** A seeded generator (mulberry32). */
export function createRandom(seed: number): (from: number, to: number) => number {
  let state = seed >>> 0;
  return (from, to) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return from + (((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * (to - from);
  };
}

/** Repeats `act` at random moments until `forMs` have passed. */
export async function repeatFor(
  { random, sleep }: Injection,
  forMs: number,
  [pauseFromMs, pauseToMs]: readonly [number, number],
  act: () => unknown,
): Promise<void> {
  const end = performance.now() + forMs;
  while (performance.now() < end) {
    await sleep(random(pauseFromMs, pauseToMs));
    await act();
  }
}

/** The injection's sleep. */
export const sleep = (ms: number): Promise<void> => delay(ms);
