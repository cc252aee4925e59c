import { spawn } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import { waitFor } from "@sluice/testkit/wait-for";
import mqtt from "mqtt";
import { type Fault, type Injection, repeatFor } from "./fault.ts";
import type { Rig } from "./rig.ts";
import { expectOtherSink } from "./servers.ts";

const POISON = 424_242.5;

/** Publishes messages of the fleet that the judge's publisher knows nothing of. */
async function publish(
  { rig, fleet }: Injection,
  messages: readonly { type: string; payload: object }[],
): Promise<void> {
  const client = await mqtt.connectAsync(rig.deviceUrl, {
    clientId: `extra-${fleet.username}`,
    username: fleet.username,
    password: fleet.password,
  });
  for (const { type, payload } of messages) {
    await client.publishAsync(
      `iotflow/devices/${fleet.devices[0]}/telemetry/${type}`,
      JSON.stringify(payload),
      {
        qos: 1,
      },
    );
  }
  await client.endAsync();
}

/** A row that only the database refuses, among many good ones. */
async function poison(injection: Injection): Promise<void> {
  const { rig, sleep, random, undo, afterwards, expect, fleet } = injection;
  await rig.db.execute(
    `alter table measurement add constraint no_poison check (value is distinct from ${POISON}) not valid`,
  );
  undo(() => rig.db.execute("alter table measurement drop constraint no_poison"));
  await sleep(random(300, 1500));
  const message = { boot: "poison", seq: 1, ts: Date.now(), level: POISON };
  await publish(injection, [{ type: "tank", payload: message }]);
  const find = () =>
    rig.db.query<{ payload: string; reason: string }>(
      "select convert_from(payload, 'UTF8') as payload, reason from quarantine where device = $1 and boot = 'poison'",
      [fleet.devices[0]],
    );
  await waitFor(async () => (await find()).length > 0, {
    timeoutMs: 10_000,
    what: "the poison in quarantine",
  });
  afterwards(async () => {
    const kept = await find();
    expect("O2", kept.length === 1, `${kept.length} in quarantine`);
    expect("O1", kept[0]?.reason === "poison_row", `the reason is ${kept[0]?.reason}`);
    expect("O1", kept[0]?.payload === JSON.stringify(message), "not the original bytes");
  });
}

/** Two more workers on the same group; all rows of few devices, so that they touch the same keys. */
async function crowd(injection: Injection): Promise<void> {
  const { rig, undo, expect } = injection;
  const deadlocks = async () =>
    (await rig.db.query<{ n: number }>("select sum(deadlocks)::int8 as n from pg_stat_database"))[0]?.n ?? 0;
  const before = await deadlocks();
  const workers = ["crowd-1", "crowd-2"].map((name) => startWorker(rig, name));
  undo(() => Promise.all(workers.map((worker) => worker.stop())));
  await repeatFor(injection, injection.loadSeconds * 700, [1000, 2000], () => {});
  const after = await deadlocks();
  expect("O2", after === before, `${after - before} deadlocks`);
}

function startWorker(rig: Rig, consumer: string): { stop(): Promise<unknown> } {
  const entry = resolve(import.meta.dirname, "../../../services/stream-worker/dist/main.js");
  const child = spawn(process.execPath, [entry], { env: rig.environment(consumer), stdio: "ignore" });
  const ended = new Promise((done) => child.once("exit", done));
  return {
    stop() {
      child.kill("SIGTERM");
      return ended;
    },
  };
}

/** A server in the place of InfluxDB that has no time: 503 with Retry-After, then 429. */
async function refuse(injection: Injection): Promise<void> {
  const { rig, sleep, undo, random } = injection;
  let status = 503;
  let asked = 0;
  const server = createServer((request, response) => {
    asked++;
    request.resume();
    response.writeHead(status, { "retry-after": "1" }).end('{"error":"too busy"}');
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  undo(() => {
    rig.proxies.influx.retarget(rig.influx.port);
    rig.proxies.influx.cutAll();
    server.close();
  });
  await sleep(random(300, 1000));
  rig.proxies.influx.retarget((server.address() as AddressInfo).port);
  rig.proxies.influx.cutAll();
  await sleep(2000);
  status = 429;
  await sleep(2000);
  expectOtherSink(injection, await rig.bus.lag("sluice:telemetry:{0}"));
  injection.expect("O6", asked < 40, `asked ${asked} times in 4 s although told to wait`);
}

/** InfluxDB stores, but its answer does not come in time. */
async function tooLate(injection: Injection): Promise<void> {
  const { rig, sleep, undo, random } = injection;
  undo(() => {
    rig.proxies.influx.dropReplies(false);
    rig.proxies.influx.cutAll();
  });
  await sleep(random(300, 1000));
  rig.proxies.influx.dropReplies();
  await sleep(4500);
  expectOtherSink(injection, await rig.bus.lag("sluice:telemetry:{0}"));
}

/** A field that changes its type, and text that line protocol has trouble with. */
async function malformed(injection: Injection): Promise<void> {
  const { rig, fleet, afterwards, expect } = injection;
  const at = Date.now();
  const values = [1.5, "abc", 2.5, "3.5", true, "ends in \\", 'quotes " and, commas = here', "two\nlines"];
  await publish(injection, [
    ...values.map((v, i) => ({ type: "mixed", payload: { boot: "odd", seq: i, ts: at + i, v } })),
    {
      type: "mixed",
      payload: { boot: "odd", seq: 20, ts: at + 20, data: { w: 1 }, metadata: { location: "room\\" } },
    },
  ]);
  afterwards(async () => {
    const kept = await rig.db.query<{ seq: number; reason: string }>(
      "select seq, reason from quarantine where device = $1 and boot = 'odd'",
      [fleet.devices[0]],
    );
    const conflicts = kept.filter(({ reason }) => reason === "type_conflict").map(({ seq }) => seq);
    for (const seq of [1, 5, 6, 7])
      expect("O1", conflicts.includes(seq), `'${values[seq]}' on a number field is not in quarantine`);
    for (const seq of [0, 2, 20]) expect("O1", !conflicts.includes(seq), `message ${seq} is in quarantine`);
  });
}

/** Data and crowds that databases do not like. */
export const data: readonly Fault[] = [
  { id: "F33", title: "worker: a row that only the database refuses", says: /quarantine/, inject: poison },
  {
    id: "F39",
    title: "postgres: three workers on the same keys",
    inject: crowd,
    load: { devices: 2 },
  },
  { id: "F42-busy", title: "influx: 503 and 429 with Retry-After", says: /influx/i, inject: refuse },
  { id: "F42-late", title: "influx: stores, and answers too late", says: /influx/i, inject: tooLate },
  {
    id: "F43",
    title: "influx: a field changes its type; awkward text",
    says: /quarantine|refused/i,
    inject: malformed,
  },
];
