import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, describe, expect, test } from "@jest/globals";
import { useMosquitto, useRedis, waitFor } from "@sluice/testkit";
import { connectClient } from "./production-mosquitto.ts";
import { rowsOf, storedMessages } from "./subscriber-gateway.ts";

// Synced appends take longer: more is caught between append and PUBACK.
const redis = useRedis({ appendfsync: "always" });
const broker = useMosquitto({ config: "max_inflight_messages 1000\nmax_queued_messages 0" });
const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

async function startGateway(): Promise<ChildProcess> {
  const options = JSON.stringify({ redisUrl: redis.url, url: broker.url, clientId: "gw" });
  const file = join(import.meta.dirname, "subscriber-process.ts");
  const child = spawn(process.execPath, ["--conditions=source", "--import", "tsx", file, options], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  children.push(child);
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  await waitFor(() => lines.includes("ready"), { timeoutMs: 30_000, what: "the gateway process" });
  return child;
}

describe("a subscriber that is killed under load", () => {
  test("stores every message once, also those that have nothing to name them by", async () => {
    let gateway = await startGateway();
    const client = await connectClient(broker.url, { clientId: "pub" });
    let sent = 0;
    let stop = false;
    let paused = false;
    const publish = async () => {
      while (!stop) {
        const v = sent++;
        const topic = `iotflow/devices/d${v % 10}/telemetry`;
        await client.publishAsync(topic, JSON.stringify({ v }), { qos: 1 });
        while (paused && !stop) await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    const publishing = Promise.all(Array.from({ length: 100 }, publish));
    for (let kill = 0; kill < 4; kill++) {
      const before = sent;
      await waitFor(() => sent > before + 2000, { timeoutMs: 20_000 });
      gateway.kill("SIGKILL");
      paused = true;
      gateway = await startGateway();
      paused = false;
    }
    stop = true;
    await publishing;
    await client.endAsync(true);
    const values = async () =>
      new Set([...rowsOf(await storedMessages(redis.url))].map((row) => row.split(" ").at(-1)));
    await waitFor(async () => (await values()).size === sent, {
      timeoutMs: 20_000,
      intervalMs: 200,
      what: "all",
    });
    const messages = await storedMessages(redis.url);
    expect(rowsOf(messages).size).toBe(sent);
    // Otherwise nothing was delivered twice and this has shown nothing.
    expect(messages.length).toBeGreaterThan(sent);
  });
});
