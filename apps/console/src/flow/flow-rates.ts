import type { Flow } from "../api/types/flow.ts";

/** Messages per second at each hop; null before there are two looks. */
export interface FlowRates {
  accepted: number | null;
  /** What each group has done with, stored or not. */
  settled: Record<string, number | null>;
}

const WINDOW_MS = 8000;

/** How fast it runs, over the last seconds of `looks` (oldest first). */
export function flowRates(looks: readonly Flow[]): FlowRates {
  const now = looks.at(-1);
  const nowMs = now === undefined ? 0 : Date.parse(now.at);
  const before = looks.find(({ at }) => nowMs - Date.parse(at) <= WINDOW_MS);
  const seconds = now && before ? (nowMs - Date.parse(before.at)) / 1000 : 0;
  const per = (delta: number) => (seconds < 0.5 ? null : Math.max(0, delta / seconds));
  const settled = Object.fromEntries(
    (now?.groups ?? []).map((group) => {
      const old = before?.groups.find((one) => one.group === group.group);
      return [group.group, old === undefined ? null : per(done(group) - done(old))];
    }),
  );
  return { accepted: now && before ? per(now.bus.accepted - before.bus.accepted) : null, settled };
}

const done = ({ stored, duplicate, quarantined }: Flow["groups"][number]) => stored + duplicate + quarantined;
