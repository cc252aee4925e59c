import { setTimeout as delay } from "node:timers/promises";
import { createBackOff } from "./back-off.ts";
import type { EventLog } from "./event-log.ts";

/** A process that can be started again and again. */
export interface Unit {
  name: string;
  readonly pid: number | undefined;
  /** Resolves when the process runs; rejects when it could not be brought up. */
  start(): Promise<void>;
  /** Resolves when the present process ends. */
  exited(): Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** Ends it in order, by force if need be. */
  stop(): Promise<void>;
  /** Ends it at once. */
  kill(): void;
}

/** A unit that is kept running. */
export interface KeptUnit {
  name: string;
  readonly pid: number | undefined;
  readonly restarts: number;
  /** Resolves with the exit code if the unit refuses its configuration (code 2): restarting would not mend it. */
  readonly refused: Promise<number>;
  stop(): Promise<void>;
  kill(): void;
}

/** Restarts a started unit with back-off whenever it ends unasked; `onChange` hears of every new process. */
export function keepRunning(unit: Unit, log: EventLog, onChange: () => void): KeptUnit {
  const stopping = new AbortController();
  let restarts = 0;
  let refuse: (code: number) => void = () => {};
  const refused = new Promise<number>((resolve) => {
    refuse = resolve;
  });
  const loop = async () => {
    const backOff = createBackOff();
    let startedAtMs = performance.now();
    while (!stopping.signal.aborted) {
      const { code, signal } = await unit.exited();
      if (stopping.signal.aborted) return;
      onChange();
      if (code === 2) refuse(code);
      const restartInMs = backOff.next(performance.now() - startedAtMs);
      log.warn({ unit: unit.name, code, signal, restartInMs }, `${unit.name} ended unasked`);
      await delay(restartInMs, undefined, { signal: stopping.signal }).catch(() => {});
      if (stopping.signal.aborted) return;
      startedAtMs = performance.now();
      restarts++;
      await unit.start().then(
        () => log.info({ unit: unit.name, pid: unit.pid, restarts }, `${unit.name} restarted`),
        (error: Error) => log.error({ unit: unit.name, err: error.message }, `${unit.name} does not start`),
      );
      onChange();
    }
  };
  const looping = loop();
  return {
    name: unit.name,
    get pid() {
      return unit.pid;
    },
    get restarts() {
      return restarts;
    },
    refused,
    async stop() {
      stopping.abort();
      await unit.stop();
      await looping;
      // A start that was under way when the stop came.
      await unit.stop();
    },
    kill: () => unit.kill(),
  };
}
