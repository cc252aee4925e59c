import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { waitFor } from "@sluice/testkit/wait-for";
import mqtt from "mqtt";
import { type Fault, type Injection, repeatFor } from "./fault.ts";
import { type Rig, signalService } from "./rig.ts";

function getMosquitto({ mosquitto }: Rig): NonNullable<Rig["mosquitto"]> {
  if (!mosquitto) throw new Error("this rig has no Mosquitto");
  return mosquitto;
}

/** Ends Mosquitto while the gateway is held, so that messages wait in its queue. */
const endBroker =
  (signal: "SIGKILL" | "SIGTERM", downMs: number, holdGateway: boolean) =>
  async ({ rig, sleep, random, undo }: Injection) => {
    const mosquitto = getMosquitto(rig);
    undo(() => signalService(rig, "ingest-gateway", "SIGCONT"));
    undo(() => (mosquitto.pid === undefined ? mosquitto.restart() : undefined));
    await sleep(random(300, 1000));
    if (holdGateway) {
      signalService(rig, "ingest-gateway", "SIGSTOP");
      await sleep(random(500, 1500));
    }
    await mosquitto.kill(signal);
    await sleep(downMs);
    await mosquitto.restart();
  };

/** More comes than Mosquitto queues for an absent gateway: it drops with a success PUBACK, and says so only in $SYS. */
async function overflow({ rig, sleep, undo, afterwards, expect, fleet }: Injection): Promise<void> {
  undo(() => signalService(rig, "ingest-gateway", "SIGCONT"));
  signalService(rig, "ingest-gateway", "SIGSTOP");
  const client = await mqtt.connectAsync(rig.deviceUrl, { clientId: `flood-${fleet.username}` });
  const ts = Date.now();
  for (let seq = 0; seq < FLOOD; seq += 500) {
    await Promise.all(
      Array.from({ length: 500 }, (_, i) =>
        client.publishAsync(
          `iotflow/devices/${fleet.devices[0]}/telemetry/flood`,
          JSON.stringify({ boot: `flood${fleet.boot}`, seq: seq + i, ts: ts + seq + i, level: 1 }),
          { qos: 1 },
        ),
      ),
    );
  }
  // One that gets through, or nobody can know where the sequence should have ended.
  await sleep(500);
  signalService(rig, "ingest-gateway", "SIGCONT");
  const waiting = async () => {
    const { groups } = await rig.bus.lag("sluice:telemetry:{0}");
    return groups.reduce((sum, { unread, pending }) => sum + unread + pending, 0);
  };
  await sleep(4000);
  await waitFor(async () => (await waiting()) < 100, {
    timeoutMs: 20_000,
    intervalMs: 300,
    what: "what was queued",
  });
  await client.publishAsync(
    `iotflow/devices/${fleet.devices[0]}/telemetry/flood`,
    JSON.stringify({ boot: `flood${fleet.boot}`, seq: FLOOD, ts: ts + FLOOD, level: 1 }),
    { qos: 1 },
  );
  await client.endAsync();
  afterwards(async () => {
    const [row] = await rig.db.query<{ missing: number; stored: number }>(
      `select coalesce((select sum(missing) from device_sequence_gap where device_code = $1 and boot = $2), 0)::int8 as missing,
              (select count(*) from measurement m join iot.sensors s on s.id = m.sensor_id
               join iot.devices d on d.id = s.device_id where d.device_code = $1 and s.sensor_code = 'level') as stored`,
      [fleet.devices[0], `flood${fleet.boot}`],
    );
    const { missing = 0, stored = 0 } = row ?? {};
    expect("O7", missing > 0, "nothing was dropped: this has shown nothing");
    expect(
      "O7",
      stored + missing === FLOOD + 1,
      `${stored} stored, ${missing} named as missing of ${FLOOD + 1}`,
    );
  });
}

/** More than four sessions hold: 4,096 under way and 1,500 queued each. */
const FLOOD = 27_000;

/** Another gateway process in this installation's image. */
function startGateway(rig: Rig, clientId: string, extra: Record<string, string> = {}) {
  const entry = resolve(import.meta.dirname, "../../../services/ingest-gateway/dist/main.js");
  const child = spawn(process.execPath, [entry], {
    env: { ...rig.environment(clientId), SLUICE_MQTT_CLIENT_ID: clientId, ...extra },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  const ended = new Promise<void>((done) => child.once("exit", () => done()));
  return {
    lines,
    end(signal: NodeJS.Signals) {
      child.kill(signal);
      return ended;
    },
  };
}

/** A second gateway under the same client id. */
async function sameId({ rig, sleep, undo, expect, random }: Injection): Promise<void> {
  await sleep(random(300, 800));
  const before = rig.proxies.mqtt.accepted;
  const second = startGateway(rig, "sluice-gateway");
  undo(() => second.end("SIGTERM"));
  const isNamed = () =>
    second.lines.some((line) => /uses the same client id|another gateway runs/.test(line));
  await waitFor(isNamed, { timeoutMs: 30_000 }).catch(() => {}); // said below
  await sleep(5000);
  const takeovers = rig.proxies.mqtt.accepted - before;
  expect("O4", takeovers <= 2, `${takeovers} new connections to the broker: they throw each other out`);
  expect(
    "O3",
    isNamed(),
    `no line names the other instance: ${second.lines.slice(-3).join(" ").slice(0, 400)}`,
  );
}

/** One member of the shared subscription dies with messages in hand, stays away, and is taken out of service. */
async function memberDies({ rig, sleep, undo, expect, random }: Injection): Promise<void> {
  const member = startGateway(rig, "member-b");
  undo(() => member.end("SIGKILL"));
  await waitFor(() => member.lines.some((line) => line.includes("service is up")), {
    timeoutMs: 30_000,
    what: "the second gateway",
  });
  await sleep(random(1000, 2000));
  await member.end("SIGKILL");
  await sleep(2000);
  const last = startGateway(rig, "member-b", { SLUICE_MQTT_CONNECTIONS: "0" });
  undo(() => last.end("SIGTERM"));
  const ids = ["member-b", "member-b-2", "member-b-3", "member-b-4"];
  const ended = () => last.lines.filter((line) => line.includes("the session is ended")).length;
  await waitFor(() => ended() === ids.length, { timeoutMs: 60_000 }).catch(() => {}); // the broker is asked below
  await last.end("SIGTERM");
  for (const id of ids)
    expect("O1", !(await hasSession(rig, id)), `the broker still keeps a queue for ${id}`);
}

/** Whether the broker keeps a session under a client id; it does not afterwards. */
async function hasSession(rig: Rig, clientId: string): Promise<boolean> {
  const ask = async (clean: boolean) => {
    const client = mqtt.connect(getMosquitto(rig).url, {
      clientId,
      clean,
      protocolVersion: 4,
      reconnectPeriod: 0,
    });
    const present = await new Promise<boolean>((done) =>
      client.once("connect", (packet) => done(packet.sessionPresent)),
    );
    await client.endAsync(true);
    return present;
  };
  const present = await ask(false);
  await ask(true);
  return present;
}

/** Reconnects all the time while hundreds of messages are unacknowledged. */
async function storm(injection: Injection): Promise<void> {
  const { rig, undo, loadSeconds } = injection;
  undo(() => rig.proxies.redis.delay(0));
  rig.proxies.redis.delay(400);
  await repeatFor(injection, loadSeconds * 800, [700, 1200], () => rig.proxies.mqtt.cutAll());
}

/** What Mosquitto in front of the gateway does to messages; judged by the `/ack` that devices get. */
export const broker: readonly Fault[] = [
  {
    id: "F08",
    title: "mosquitto: kill -9 with messages queued",
    rig: "broker",
    names: "gateway",
    says: /broker|mqtt/i,
    inject: endBroker("SIGKILL", 2500, true),
  },
  {
    id: "F09",
    title: "mosquitto: orderly restart",
    rig: "broker",
    names: "gateway",
    says: /broker|mqtt/i,
    inject: endBroker("SIGTERM", 3000, false),
  },
  {
    id: "F11",
    title: "mosquitto: its queue overflows while the gateway is away",
    rig: "broker",
    says: /dropped/i,
    inject: overflow,
  },
  {
    id: "F12",
    title: "mosquitto: two gateways with the same client id",
    rig: "broker",
    inject: sameId,
  },
  {
    id: "F13",
    title: "mosquitto: a member of the shared subscription dies with messages in hand",
    rig: "broker",
    inject: memberDies,
  },
  { id: "F14", title: "mosquitto: redelivery storm", rig: "broker", inject: storm },
];
