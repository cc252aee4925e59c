import {
  clipStretches,
  heldValues,
  joinStretches,
  type Stretch,
  subtractStretches,
  totalMs,
} from "./stretches.ts";
import type { Sample } from "./time-weighted.ts";

const HOUR_MS = 3_600_000;

/** What the log of a machine says about its states; samples with the ones before and after the days asked for. */
export interface MachineSignals {
  /** Stretches in which the machine logged something at least every so often. */
  readonly sessions: readonly Stretch[];
  /** In operation (not 0), not (0), or off (null). */
  readonly operation: readonly Sample[];
  /** Signals that mean an unplanned stop while they are not 0. */
  readonly stops: readonly (readonly Sample[])[];
  /** The machine's last row: nothing is known after it. */
  readonly knownToMs: number;
}

/** Hours of a day, to two decimals; together as long as the day is over. */
export interface DayActivity {
  readonly running: number;
  readonly planned: number;
  readonly unplanned: number;
}

/**
 * How a machine spent [fromMs, toMs), a day or what is over of it. Unplanned: while a stop signal is on. Running: while it
 * logs, or is in operation by a signal that holds until its own next change, unless it is stopped or off. A stop outweighs
 * operation: real machines report both at once. All the rest is planned.
 */
export function machineActivity(signals: MachineSignals, { fromMs, toMs }: Stretch): DayActivity {
  const range = { fromMs, toMs, knownToMs: signals.knownToMs };
  const off = offTimes(signals.operation, toMs);
  const stopped = subtractStretches(
    joinStretches(
      signals.stops.flatMap((samples) => heldValues(samples, range).filter(({ value }) => value !== 0)),
    ),
    off,
  );
  const active = joinStretches([
    ...clipStretches(signals.sessions, { fromMs, toMs }),
    ...clipStretches(operationTimes(signals.operation), { fromMs, toMs }),
  ]);
  const running = hours(totalMs(subtractStretches(subtractStretches(active, stopped), off)));
  const unplanned = hours(totalMs(stopped));
  return { running, unplanned, planned: Math.max(0, round2(hours(toMs - fromMs) - running - unplanned)) };
}

/** When a machine was off: from a sample of its operation that is null to the next one, or to `toMs`. */
export function offTimes(operation: readonly Sample[], toMs: number): Stretch[] {
  const off = operation.flatMap(({ atMs, value }, i) =>
    value === null ? [{ fromMs: atMs, toMs: operation[i + 1]?.atMs ?? Math.max(toMs, atMs) }] : [],
  );
  return joinStretches(off);
}

/**
 * When it was in operation beyond doubt. A log of changes has nothing to say between two of them; but one that repeats a
 * value has been interrupted, and what happened meanwhile is not known.
 */
function operationTimes(operation: readonly Sample[]): Stretch[] {
  return operation.flatMap(({ atMs, value }, i) => {
    const next = operation[i + 1];
    return value === null || value === 0 || next === undefined || next.value === value
      ? []
      : [{ fromMs: atMs, toMs: next.atMs }];
  });
}

const round2 = (value: number) => Math.round(value * 100) / 100;
const hours = (ms: number) => round2(ms / HOUR_MS);
