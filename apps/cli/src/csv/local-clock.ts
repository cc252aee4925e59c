import { offsetAt, parseTime } from "@sluice/shared-types";

/** Which way the rows of a file run. */
export type Direction = "ascending" | "descending";

/** What a time cell turned out to be. */
export interface LocalInstant {
  /** Microseconds since the epoch. */
  timeUs: number;
  /** `repeated`: in the hour the clock was set back; `skipped`: in an hour that did not exist. */
  note?: "repeated" | "skipped";
}

const HAS_ZONE = /(?:[Zz]|[+-]\d\d:?(?:\d\d)?)$/;
const EPOCH = /^-?\d+(?:\.\d+)?$/;
const DAY_MS = 86_400_000;

/**
 * Turns the time cells of a file into instants, one after the other. Cells without an offset are local time
 * in `timeZone`. The hour that happens twice when the clock is set back is told apart by the order of the
 * rows: a local time that does not move on from the row before belongs to the second pass. A local time in
 * the hour that is skipped in spring is read with the offset before the jump.
 * The returned function gives undefined for a cell that is no time. @throws RangeError on an unknown zone
 */
export function createLocalClock(
  timeZone: string,
  direction: Direction = "ascending",
): (cell: string) => LocalInstant | undefined {
  offsetAt(0, timeZone);
  let lastUs: number | undefined;
  return (cell) => {
    const text = cell.trim();
    const wallUs = parseTime(text, "UTC");
    if (wallUs === undefined) return undefined;
    if (EPOCH.test(text) || (text.includes(":") && HAS_ZONE.test(text))) {
      lastUs = wallUs;
      return { timeUs: wallUs };
    }
    const found = localInstants(wallUs, timeZone);
    const timeUs =
      found.note === "repeated" ? choosePass(found.instants, lastUs, direction) : found.instants[0];
    lastUs = timeUs;
    return found.note ? { timeUs, note: found.note } : { timeUs };
  };
}

/** The instants, earliest first, at which a wall clock in `timeZone` shows `wallUs` (counted as if it were UTC). */
function localInstants(
  wallUs: number,
  timeZone: string,
): { instants: [number, ...number[]]; note?: LocalInstant["note"] } {
  const wallMs = Math.floor(wallUs / 1000);
  const before = offsetAt(wallMs - DAY_MS, timeZone);
  const after = offsetAt(wallMs + DAY_MS, timeZone);
  const withBefore = wallUs - before * 1000;
  if (before === after) return { instants: [withBefore] };
  const withAfter = wallUs - after * 1000;
  const beforeHolds = offsetAt(wallMs - before, timeZone) === before;
  const afterHolds = offsetAt(wallMs - after, timeZone) === after;
  if (beforeHolds && afterHolds) {
    return { instants: [Math.min(withBefore, withAfter), Math.max(withBefore, withAfter)], note: "repeated" };
  }
  if (beforeHolds) return { instants: [withBefore] };
  if (afterHolds) return { instants: [withAfter] };
  return { instants: [withBefore], note: "skipped" };
}

function choosePass(
  instants: [number, ...number[]],
  lastUs: number | undefined,
  direction: Direction,
): number {
  const first = direction === "ascending" ? instants[0] : (instants.at(-1) ?? instants[0]);
  const second = direction === "ascending" ? (instants.at(-1) ?? instants[0]) : instants[0];
  if (lastUs === undefined) return first;
  const movedOn = direction === "ascending" ? first > lastUs : first < lastUs;
  return movedOn ? first : second;
}
