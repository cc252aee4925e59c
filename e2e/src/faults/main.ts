/** `npm run faults`: causes faults in a running system and asks whether the promise held; see docs/faults.md. */
import { appendFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { faults, selectFaults, UNSETTLED } from "./catalogue.ts";
import type { Fault } from "./fault.ts";
import type { FaultRun } from "./run-fault.ts";
import { hasFailed, runFaults } from "./run-faults.ts";
import { createSoak } from "./soak.ts";
import { formatTable } from "./table.ts";

const USAGE = `Usage: npm run faults -- [--quick] [--only ID[,ID]] [--soak] [--seed N] [--runs N] [--json] [--list]

  --quick      the short subset, with a smaller load
  --settled    without those that need a quiet machine
  --only ID    only these faults
  --soak       instead of them: load and random kills for half an hour, or --seconds N, at --rate N (default 250)
  --seed N     first seed (default 1); a run repeats with its seed
  --runs N     runs of each fault, with seeds N, N+1, ... (default 1)
  --small      the load of --quick
  --json       {"runs":[{id, seed, acked, stored, lost, takenAway, duplicated, recoveredMs, oracles, note}]}
  --append F   adds each run to the file F as a line of JSON
  --list       what there is, and what this machine cannot cause

Exit code 1 when any oracle fails.
Example: npm run faults -- --only F17 --seed 7 --runs 5
`;

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    small: { type: "boolean", default: false },
    settled: { type: "boolean", default: false },
    only: { type: "string" },
    soak: { type: "boolean", default: false },
    seconds: { type: "string", default: "1800" },
    rate: { type: "string", default: "250" },
    seed: { type: "string", default: "1" },
    runs: { type: "string", default: "1" },
    json: { type: "boolean", default: false },
    append: { type: "string" },
    list: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const say = (text: string) => void process.stderr.write(`${text}\n`);

function choose(): readonly Fault[] {
  if (values.soak) return [createSoak(Number(values.seconds), Number(values.rate))];
  if (values.only === undefined) {
    const chosen = faults.filter((fault) => !values.quick || fault.quick);
    if (!values.settled) return chosen;
    for (const [id, why] of Object.entries(UNSETTLED)) say(`left out ${id}: ${why}`);
    return chosen.filter((fault) => UNSETTLED[fault.id] === undefined);
  }
  const { found, unknown } = selectFaults(values.only.split(","));
  if (unknown.length === 0) return found;
  say(`there is no fault ${unknown.join(", ")}; --list shows them`);
  process.exit(2);
}

const failedOracles = (run: FaultRun) =>
  Object.entries(run.oracles)
    .filter(([, held]) => !held)
    .map(([name]) => name);

function describe(fault: Fault, run: FaultRun): string {
  const verdict = hasFailed(run) ? `FAIL ${failedOracles(run).join(",")}` : "ok  ";
  const { seed, acked, stored, lost, takenAway, duplicated, recoveredMs, note } = run;
  return `${verdict} ${fault.id} seed ${seed}: ${fault.title}: acked ${acked}, stored ${stored}, lost ${lost}, ${takenAway ? `taken away and named ${takenAway}, ` : ""}twice ${duplicated}, recovered in ${recoveredMs} ms (${note})`;
}

async function run(chosen: readonly Fault[]): Promise<void> {
  const stop = new AbortController();
  // The run under way ends, and with it everything that was started for it.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
  const small = values.quick || values.small;
  const results = await runFaults(chosen, {
    seed: Number(values.seed),
    runs: Number(values.runs),
    load: small ? { seconds: 4, rate: 250, devices: 5 } : { seconds: 12, rate: 500, devices: 10 },
    signal: stop.signal,
    onRun: (fault, result) => {
      say(describe(fault, result));
      if (values.append) appendFileSync(values.append, `${JSON.stringify(result)}\n`);
    },
    onSkipped: (fault, why) => say(`--   ${fault.id} ${fault.title}: not caused here: ${why}`),
  });
  if (values.json) process.stdout.write(`${JSON.stringify({ runs: results })}\n`);
  else say(`\n${formatTable(chosen, results)}\n`);
  const bad = results.filter(hasFailed).length;
  say(`${results.length - bad} passed, ${bad} failed`);
  process.exit(bad > 0 || stop.signal.aborted ? 1 : 0);
}

if (values.help) process.stdout.write(USAGE);
else if (values.list) {
  for (const { id, title, whyNot } of faults) {
    const why = whyNot?.();
    process.stdout.write(`${id}  ${title}${why === undefined ? "" : ` (not caused here: ${why})`}\n`);
  }
} else await run(choose());
