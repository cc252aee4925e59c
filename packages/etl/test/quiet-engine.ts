import type { Db } from "@sluice/db";
import { createEngine, type Engine } from "@sluice/etl";

/** An engine as tests want it: says nothing, does not wait, and its clock stands still. */
export const createQuietEngine = (db: Db, nowMs: number, given: Partial<Engine> = {}): Engine =>
  createEngine({
    db,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    holder: "test",
    trigger: "manual",
    now: () => nowMs,
    backoffMs: 1,
    patienceMs: 0,
    ...given,
  });
