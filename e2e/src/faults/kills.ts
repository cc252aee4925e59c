import { waitFor } from "@sluice/testkit/wait-for";
import { type Fault, type Injection, repeatFor } from "./fault.ts";
import { pidOf, signalService } from "./rig.ts";

const kill = (name: string, signal: NodeJS.Signals) => (injection: Injection) =>
  repeatFor(injection, injection.loadSeconds * 700, [500, 3000], () =>
    signalService(injection.rig, name, signal),
  );

const freeze =
  (name: string, ms: number) =>
  async ({ rig, sleep, random, undo }: Injection) => {
    await sleep(random(500, 1500));
    const pid = pidOf(rig, name);
    undo(() => signalService(rig, name, "SIGCONT"));
    process.kill(pid, "SIGSTOP");
    await sleep(ms);
    process.kill(pid, "SIGCONT");
  };

/** Told to stop with appends under way: it finishes them, ends its connections, appends nothing more, exits 0. */
async function stopGracefully({ rig, sleep, random, expect, undo }: Injection): Promise<void> {
  undo(() => {
    rig.proxies.redis.delay(0);
    rig.tap.onMqttEnd = undefined;
  });
  await sleep(random(500, 1500));
  rig.proxies.redis.delay(150);
  await sleep(600);
  const pid = pidOf(rig, "ingest-gateway");
  let appendsAtEnd: number | undefined;
  rig.tap.onMqttEnd = () => {
    appendsAtEnd = rig.tap.appends();
  };
  const lines = collect(rig);
  process.kill(pid, "SIGTERM");
  await waitFor(() => !isAlive(pid), { timeoutMs: 15_000, what: "the end of the gateway" });
  const appends = rig.tap.appends();
  rig.tap.onMqttEnd = undefined;
  rig.proxies.redis.delay(0);
  await waitFor(() => lines().some((line) => line.includes("ingest-gateway ended")), {
    what: "its exit code",
  });
  const ended = lines().find((line) => line.includes("ingest-gateway ended")) ?? "";
  expect("O2", ended.includes('"code":0'), `ended with ${/"code":[^,]*/.exec(ended)?.[0]}`);
  expect("O2", appendsAtEnd !== undefined, "it has not ended its connections");
  expect("O2", appends === (appendsAtEnd ?? appends), "appends after its last connection had ended");
}

function collect({ installation }: Injection["rig"]): () => string[] {
  const lines: string[] = [];
  const take = (chunk: Buffer) => void lines.push(...chunk.toString().split("\n"));
  installation.supervisor.stdout?.on("data", take);
  return () => lines;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Processes of ours killed, stopped and frozen. */
export const kills: readonly Fault[] = [
  {
    id: "F01",
    title: "gateway: kill -9 in the middle of a batch",
    quick: true,
    inject: kill("ingest-gateway", "SIGKILL"),
  },
  { id: "F02", title: "gateway: SIGTERM with appends under way", inject: stopGracefully },
  {
    id: "F02-broker",
    title: "gateway behind Mosquitto: SIGTERM with appends under way",
    rig: "broker",
    inject: stopGracefully,
  },
  { id: "F04", title: "gateway: stalled for 5 s", inject: freeze("ingest-gateway", 5000) },
  {
    id: "X00",
    title: "worker: kill -9 at random moments",
    inject: kill("stream-worker", "SIGKILL"),
  },
  { id: "X01", title: "worker: SIGTERM under load", inject: kill("stream-worker", "SIGTERM") },
  { id: "X02", title: "influx-writer: kill -9", inject: kill("influx-writer", "SIGKILL") },
  { id: "X03", title: "worker: stalled for 8 s", inject: freeze("stream-worker", 8000) },
];
