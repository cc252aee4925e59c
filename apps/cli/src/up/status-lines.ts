import { setTimeout as delay } from "node:timers/promises";
import { type Bus, openBus, type StreamLag } from "@sluice/bus";
import { streamKey } from "@sluice/shared-types";
import { askReady } from "../ready.ts";
import { SERVICES } from "../service-list.ts";
import type { State } from "../state.ts";
import type { Screen } from "./screen.ts";

const EVERY_MS = 1_000;

/** Keeps one line per service with rates and lag at the bottom of the screen until `signal` aborts. */
export async function showStatusLines(
  screen: Screen,
  currentState: () => State,
  signal: AbortSignal,
): Promise<void> {
  let bus: Bus | undefined;
  let before: Sample | undefined;
  while (!signal.aborted) {
    const state = currentState();
    try {
      bus ??= await openBus(state.busUrl);
      const sample = { atMs: performance.now(), lag: await bus.lag(streamKey("telemetry")) };
      screen.draw(await linesOf(state, sample, before));
      before = sample;
    } catch (error) {
      screen.draw([`bus: ${error instanceof Error ? error.message : String(error)}`]);
    }
    await delay(EVERY_MS, undefined, { signal }).catch(() => {});
  }
  screen.draw([]);
  await bus?.close().catch(() => {});
}

/** The numbers of a stream at one moment. */
export interface Sample {
  atMs: number;
  lag: StreamLag;
}

async function linesOf(state: State, now: Sample, before: Sample | undefined): Promise<string[]> {
  return Promise.all(
    state.services.map(async ({ name, opsPort, pid, restarts }) => {
      const { ready, failing } = await askReady(state.host, opsPort);
      const condition = ready ? "ready" : `not ready: ${failing.join(", ")}`;
      const again = restarts === 0 ? "" : `  restarts ${restarts}`;
      const group = SERVICES.find((service) => service.name === name)?.group;
      const numbers = describeFlow(now, before, group);
      return `${name.padEnd(15)} ${condition.padEnd(7)} pid ${String(pid ?? "-").padEnd(8)}${numbers}${again}`;
    }),
  );
}

/** Rate and lag of a group, or of the entrance where no group is named. */
function describeFlow(now: Sample, before: Sample | undefined, group: string | undefined): string {
  const seconds = before === undefined ? 0 : (now.atMs - before.atMs) / 1000;
  const rate = (later: number, earlier: number | undefined) =>
    seconds <= 0 || earlier === undefined
      ? "-"
      : Math.round((later - earlier) / seconds).toLocaleString("en");
  if (group === undefined) {
    return `in ${rate(now.lag.accepted, before?.lag.accepted)} msg/s, ${now.lag.accepted.toLocaleString("en")} accepted`;
  }
  const done = doneBy(now.lag, group);
  if (done === undefined) return "no group yet";
  const { unread, pending } = done;
  const out = rate(done.messages, before === undefined ? undefined : doneBy(before.lag, group)?.messages);
  return `out ${out} msg/s, lag ${(unread + pending).toLocaleString("en")} (${unread} unread, ${pending} pending)`;
}

function doneBy(lag: StreamLag, name: string) {
  const group = lag.groups.find((candidate) => candidate.group === name);
  if (group === undefined) return undefined;
  const { unread, pending } = group;
  return { unread, pending, messages: lag.accepted - unread - pending };
}
