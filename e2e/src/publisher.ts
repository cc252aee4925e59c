/**
 * The judge's own publisher, a process of its own: `publisher.ts <options as JSON>`. It writes one line
 * `<device> <boot> <seq> <ms>` to its ledger, synced to disk, for every acknowledgement, and sends again with the same
 * seq what was not acknowledged. The ledger, not any counter of the system, says what has to be stored. The reading
 * `counter` of each message is its seq, so that the rows themselves tell which messages they are from.
 */
import { closeSync, fdatasyncSync, openSync, writeSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import mqtt, { type MqttClient } from "mqtt";

/** What the publisher is told. */
export interface PublisherOptions {
  mqttUrl: string;
  username: string;
  password: string;
  devices: readonly string[];
  boot: string;
  /** Messages a second over all devices. */
  rate: number;
  seconds: number;
  /** How long after the last message to wait for acknowledgements. */
  patienceSeconds: number;
  ledger: string;
  topicRoot: string;
  clientPrefix: string;
  /**
   * What counts: the PUBACK of Sluice's own broker, or, behind an external one whose PUBACK promises nothing, the
   * gateway's message on `/ack`.
   */
  acknowledgement: "puback" | "application";
}

/** What it prints when it is done. */
export interface PublisherReport {
  sent: number;
  acknowledged: number;
  /** Messages that were never acknowledged: they may be stored once or not at all. */
  unknown: number;
}

const RETRY_MS = 1000;
const ANSWER_MS = 4000;

async function run(options: PublisherOptions): Promise<PublisherReport> {
  const file = openSync(options.ledger, "a", 0o600);
  const waiting: string[] = [];
  const flush = () => {
    if (waiting.length === 0) return;
    writeSync(file, `${waiting.splice(0).join("\n")}\n`);
    fdatasyncSync(file);
  };
  const total = Math.round(options.rate * options.seconds);
  const until = performance.now() + (options.seconds + options.patienceSeconds) * 1000;
  let sent = 0;
  let acknowledged = 0;
  const share = options.devices.map((device, index) =>
    publishDevice(
      { ...options, device, until, count: Math.ceil((total - index) / options.devices.length) },
      {
        sent: () => sent++,
        acknowledged: (seq) => {
          acknowledged++;
          waiting.push(`${device} ${options.boot} ${seq} ${Date.now()}`);
        },
      },
    ),
  );
  const flushing = setInterval(flush, 50);
  await Promise.all(share);
  clearInterval(flushing);
  flush();
  closeSync(file);
  return { sent, acknowledged, unknown: sent - acknowledged };
}

interface DeviceOptions extends PublisherOptions {
  device: string;
  count: number;
  until: number;
}

interface Marks {
  sent(): void;
  acknowledged(seq: number): void;
}

async function publishDevice(options: DeviceOptions, marks: Marks): Promise<void> {
  const client = mqtt.connect(options.mqttUrl, {
    clientId: `${options.clientPrefix}-${options.device}`,
    username: options.username,
    password: options.password,
    clean: false,
    reconnectPeriod: 300,
    connectTimeout: 5000,
    keepalive: 10,
  });
  // Refused while the gateway is down: it reconnects by itself, and what was wrong is told where somebody asks.
  client.on("error", (error) => void process.stderr.write(`${options.device}: ${error.message}\n`));
  const send = options.acknowledgement === "puback" ? sendToOurs(client) : sendToTheirs(client, options);
  const pauseMs = (1000 * options.devices.length) / options.rate;
  const started = performance.now();
  const open = new Set<Promise<void>>();
  let lastMs = 0;
  for (let seq = 0; seq < options.count && performance.now() < options.until; seq++) {
    marks.sent();
    lastMs = Math.max(lastMs + 1, Date.now()); // no two of a device's messages at the same time
    const one = publishUntilAcknowledged(send, options, seq, lastMs).then((done) => {
      if (done) marks.acknowledged(seq);
      open.delete(one);
    });
    open.add(one);
    await delay(Math.max(0, started + (seq + 1) * pauseMs - performance.now()));
    while (open.size >= 500) await Promise.race(open);
  }
  await Promise.all(open);
  await client.endAsync(true);
}

/** Resolves when a message is acknowledged. */
type Send = (topic: string, payload: string, seq: number) => Promise<unknown>;

const sendToOurs =
  (client: MqttClient): Send =>
  (topic, payload) =>
    client.publishAsync(topic, payload, { qos: 1 });

function sendToTheirs(client: MqttClient, { topicRoot, device, boot }: DeviceOptions): Send {
  const answered = new Map<number, () => void>();
  client.subscribe(`${topicRoot}/devices/${device}/ack`, { qos: 1 });
  client.on("message", (_topic, payload) => {
    const answer = JSON.parse(payload.toString()) as { boot?: string; seq?: number };
    if (answer.boot === boot && answer.seq !== undefined) answered.get(answer.seq)?.();
  });
  return async (topic, payload, seq) => {
    const waiting = new Promise<void>((resolve) => answered.set(seq, resolve));
    const late = new AbortController();
    try {
      client.publish(topic, payload, { qos: 1 });
      await Promise.race([waiting, delay(ANSWER_MS, undefined, { signal: late.signal }).then(giveUp)]);
    } finally {
      late.abort();
      answered.delete(seq);
    }
  };
}

function giveUp(): never {
  throw new Error("not acknowledged in time");
}

async function publishUntilAcknowledged(
  send: Send,
  options: DeviceOptions,
  seq: number,
  ts: number,
): Promise<boolean> {
  const topic = `${options.topicRoot}/devices/${options.device}/telemetry/judge`;
  const payload = JSON.stringify({ boot: options.boot, seq, ts, counter: seq, value: Math.sin(seq) });
  while (performance.now() < options.until) {
    try {
      const patience = delay(options.until - performance.now(), undefined, { ref: false }).then(giveUp);
      await Promise.race([send(topic, payload, seq), patience]);
      return true;
    } catch {
      await delay(RETRY_MS, undefined, { ref: false });
    }
  }
  return false;
}

process.stdout.write(`${JSON.stringify(await run(JSON.parse(process.argv[2] ?? "") as PublisherOptions))}\n`);
