import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { waitFor } from "@sluice/testkit/wait-for";
import { judge, readLedgerFile, readPoints, readQuarantine, readRows, type Verdict } from "../judge.ts";
import type { PublisherReport } from "../publisher.ts";
import { RECOVERY_MS, readImbalance, recoveryLimitMs, untilDrained, untilRecovered } from "./balance.ts";
import { createRandom, type Fault, type Injection, type LoadSize, type Oracle, sleep } from "./fault.ts";
import { askServices, type Rig } from "./rig.ts";
import { type RunningPublisher, runPublisher } from "./run-publisher.ts";
import { isComplaint, type Sighting, watchSystem } from "./watch.ts";

/** What one run found. An oracle that this run cannot ask is absent. */
export interface FaultRun {
  id: string;
  seed: number;
  acked: number;
  stored: number;
  /** Acknowledged, and neither stored nor in quarantine nor named as missing. */
  lost: number;
  /** Acknowledged, and taken off the stream by the fault itself, which the system has named: see `Fault.lossy`. */
  takenAway: number;
  duplicated: number;
  recoveredMs: number;
  oracles: Partial<Record<Oracle, boolean>>;
  note: string;
}

/** Declared bounds of every process, for O6. */
const LIMITS = { rssMb: 250, fds: 400, waitingMessages: 60_000 };

/** What the parts of a run put together. */
interface Findings {
  oracles: Partial<Record<Oracle, boolean>>;
  notes: string[];
  expect: Injection["expect"];
}

function createFindings(): Findings {
  const oracles: Findings["oracles"] = {};
  const notes: string[] = [];
  return {
    oracles,
    notes,
    expect(oracle, held, what) {
      oracles[oracle] = (oracles[oracle] ?? true) && held;
      if (!held) notes.push(`${oracle}: ${what}`);
    },
  };
}

/** Runs the load, causes the fault, ends it, waits for recovery and asks the oracles. */
export async function runFault(rig: Rig, fault: Fault, seed: number, size: LoadSize): Promise<FaultRun> {
  const load = { ...size, ...fault.load };
  // Boots differ between runs of one seed on one rig, devices too.
  const prefix = `${fault.id.toLowerCase()}-${seed}-${Date.now().toString(36)}`;
  const devices = Array.from({ length: load.devices }, (_, i) => `${prefix}-${i}`);
  const fleet = { devices, boot: String(seed), ...(await rig.installation.createFleet(prefix, devices)) };
  const folder = mkdtempSync(join(tmpdir(), "sluice-fault-"));
  const ledger = join(folder, "ledger");
  writeFileSync(ledger, "");
  const findings = createFindings();
  const before = await readImbalance(rig);
  rig.tap.takeEarly();
  rig.tap.takeSeen();
  const watch = watchSystem(rig, fault);
  const publisher = runPublisher({
    ...fleet,
    mqttUrl: rig.deviceUrl,
    rate: load.rate,
    seconds: load.seconds,
    patienceSeconds: (2 * recoveryLimitMs()) / 1000,
    ledger,
    topicRoot: "iotflow",
    clientPrefix: "judge",
    acknowledgement: rig.mosquitto ? "application" : "puback",
  });
  try {
    await untilFirstAcknowledgement(rig, ledger, publisher);
    const questions = await cause(rig, fault, seed, load, fleet, findings);
    const recoveredMs = await untilRecovered(rig, load.rate);
    const report = await publisher.report;
    const drained = await untilDrained(rig);
    for (const question of questions) await question();
    const sighting = watch.stop([...rig.secrets, fleet.password]);
    askAboutLife(findings, { recoveredMs, drained, report });
    askAboutSighting(findings, fault, sighting);
    askTap(findings, rig);
    const verdict = await askSinks(findings, rig, fault, readLedgerFile(ledger), fleet, prefix);
    if (!fault.lossy) await askBalance(findings, rig, before);
    return {
      id: fault.id,
      seed,
      acked: verdict.acknowledged,
      stored: verdict.stored,
      lost: verdict.lost.length,
      takenAway: verdict.takenAway,
      duplicated: verdict.duplicated.length,
      recoveredMs: recoveredMs ?? -1,
      oracles: findings.oracles,
      note: findings.notes.join("; "),
    };
  } finally {
    watch.stop([]);
    await publisher.report.catch(() => {});
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What comes before the fault is no oracle, but a system that does not take messages has to say why. */
async function untilFirstAcknowledgement(
  rig: Rig,
  ledger: string,
  publisher: RunningPublisher,
): Promise<void> {
  try {
    const begun = () => readFileSync(ledger, "utf8") !== "";
    await waitFor(begun, { timeoutMs: RECOVERY_MS, what: "the first acknowledgement" });
  } catch (cause) {
    const services = (await askServices(rig)).map(({ name, failing }) => `${name} ${failing.join()}`);
    const lines = rig.takeLines().filter(isComplaint).slice(-5).join(" ");
    const seen = `services: ${services.join("; ")}; publisher: ${publisher.complaints().slice(-300)}; log: ${lines}`;
    throw new Error(`${cause instanceof Error ? cause.message : String(cause)} (${seen})`, { cause });
  }
}

async function cause(
  rig: Rig,
  fault: Fault,
  seed: number,
  load: LoadSize,
  fleet: Injection["fleet"],
  findings: Findings,
): Promise<(() => Promise<void>)[]> {
  const undoes: (() => unknown)[] = [];
  const questions: (() => Promise<void>)[] = [];
  try {
    await fault.inject?.({
      rig,
      random: createRandom(seed),
      sleep,
      loadSeconds: load.seconds,
      fleet,
      expect: findings.expect,
      note: (text) => void findings.notes.push(text),
      undo: (action) => void undoes.push(action),
      afterwards: (question) => void questions.push(question),
    });
  } finally {
    for (const undo of undoes.reverse()) await undo();
  }
  return questions;
}

function askAboutLife(
  { expect }: Findings,
  found: { recoveredMs: number | undefined; drained: boolean; report: PublisherReport },
): void {
  const { recoveredMs, drained, report } = found;
  expect(
    "O4",
    recoveredMs !== undefined,
    `not ready and working ${Math.round(recoveryLimitMs() / 1000)} s after the fault`,
  );
  expect("O4", drained, "a backlog stays");
  expect("O4", report.unknown === 0, `${report.unknown} messages never acknowledged`);
}

function askAboutSighting({ expect, notes }: Findings, fault: Fault, seen: Sighting): void {
  if (fault.names !== undefined) expect("O3", seen.named, `/ready has not named ${fault.names}`);
  if (fault.names !== undefined || fault.says) expect("O3", seen.said, "no log line says what is wrong");
  expect("O3", seen.bad.length === 0, seen.bad.slice(0, 3).join(", "));
  expect("O6", seen.peakRssMb <= LIMITS.rssMb, `${seen.peakRssMb} MB`);
  expect("O6", seen.peakFds <= LIMITS.fds, `${seen.peakFds} open files`);
  expect("O6", seen.peakWaiting <= LIMITS.waitingMessages, `${seen.peakWaiting} messages waiting`);
  notes.push(`peak ${seen.peakRssMb} MB, ${seen.peakFds} files, ${seen.peakWaiting} waiting`);
}

function askTap({ expect }: Findings, { tap, kind }: Rig): void {
  const early = tap.takeEarly();
  const { acknowledged, entries } = tap.takeSeen();
  expect("O5", early.length === 0, `${early.length} too early, e.g. ${early[0]}`);
  expect("O5", (acknowledged > 0 || kind === "tls") && entries > 0, "the proxies saw no acknowledgement");
}

async function askSinks(
  { expect, notes }: Findings,
  rig: Rig,
  fault: Fault,
  acknowledged: ReadonlySet<string>,
  { devices, boot }: Injection["fleet"],
  prefix: string,
): Promise<Verdict & { takenAway: number }> {
  const kept = await readQuarantine(rig.db, devices);
  const verdict = judge(acknowledged, boot, await readRows(rig.db, devices), kept);
  const { influx } = rig.installation.urls();
  const points = influx && judge(acknowledged, boot, await readPoints(influx, prefix), kept);
  let { lost } = verdict;
  if (fault.lossy) {
    const named = await readGaps(rig, devices);
    lost = lost.filter((line) => !named.has(line));
    expect("O7", lost.length === 0, `${lost.length} lost without being named, e.g. ${lost[0]}`);
    notes.push(`${verdict.lost.length} taken away by the fault, ${lost.length} of them not named`);
  } else {
    expect("O1", lost.length === 0, `lost ${lost.slice(0, 3).join(", ")}`);
    if (points)
      expect("O1", points.lost.length === 0, `${points.lost.length} not in InfluxDB, e.g. ${points.lost[0]}`);
  }
  expect("O2", verdict.duplicated.length === 0, `twice ${verdict.duplicated.slice(0, 3).join(", ")}`);
  if (points)
    expect(
      "O2",
      points.duplicated.length === 0,
      `twice in InfluxDB ${points.duplicated.slice(0, 3).join(", ")}`,
    );
  return { ...verdict, lost, takenAway: verdict.lost.length - lost.length };
}

/** What the system itself reports as missing, as lines `<device> <boot> <seq>`. */
async function readGaps({ db }: Rig, devices: readonly string[]): Promise<Set<string>> {
  const gaps = await db.query<{ line: string }>(
    `select device_code || ' ' || boot || ' ' || seq as line
     from device_sequence_gap, generate_series(from_seq, to_seq) as seq where device_code = any ($1)`,
    [devices],
  );
  return new Set(gaps.map(({ line }) => line));
}

async function askBalance({ expect }: Findings, rig: Rig, before: Record<string, number>): Promise<void> {
  const changed = async () => {
    const after = await readImbalance(rig);
    return Object.keys(after).filter((group) => after[group] !== (before[group] ?? 0));
  };
  const wrong = (await changed()).length === 0 ? [] : await sleep(500).then(changed);
  expect("O2", wrong.length === 0, `the ledger of ${wrong.join(", ")} does not balance`);
}
