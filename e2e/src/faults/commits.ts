import { once } from "node:events";
import type { Fault, Injection } from "./fault.ts";
import { signalService } from "./rig.ts";

/** Kills the worker exactly when the proxy holds the COMMIT of a batch, or the answer to it; several times. */
const killAt = (moment: "asked" | "answered") => async (injection: Injection) => {
  const { rig, sleep, random, note, expect, undo } = injection;
  const { postgres } = rig.proxies;
  undo(() => {
    rig.tap.onCommit = Object.assign(rig.tap.onCommit, { asked: undefined, answered: undefined });
    postgres.resume();
  });
  const end = performance.now() + injection.loadSeconds * 700;
  let kills = 0;
  while (performance.now() < end) {
    await sleep(random(300, 1500));
    const hit = new EventTarget();
    const waiting = once(hit, "hit");
    rig.tap.onCommit[moment] = () => {
      // Before the bytes go on, in the same turn of the event loop.
      rig.tap.onCommit[moment] = undefined;
      postgres.pause();
      signalService(rig, "stream-worker", "SIGKILL");
      kills++;
      hit.dispatchEvent(new Event("hit"));
    };
    await Promise.race([waiting, sleep(3000)]);
    rig.tap.onCommit[moment] = undefined;
    await sleep(50);
    postgres.cutAll();
    postgres.resume();
  }
  note(`${kills} kills`);
  expect("O2", kills > 0, "no COMMIT came by");
};

/** The two moments that decide whether storing is exactly once. */
export const commits: readonly Fault[] = [
  {
    id: "F29",
    title: "worker: kill -9 between COMMIT and XACK",
    quick: true,
    inject: killAt("answered"),
  },
  { id: "F30", title: "worker: kill -9 inside the transaction", quick: true, inject: killAt("asked") },
];
