import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "@jest/globals";
import { type Bus, openBus } from "@sluice/bus";
import { openDb } from "@sluice/db";
import { type Influx, openInflux } from "@sluice/influx";
import { Rejected, streamKey } from "@sluice/shared-types";
import { patience, startProxy, useInflux, usePostgres, useRedis, waitFor } from "@sluice/testkit";
import { message, runWriter, type WriterProcess } from "./run-writer.ts";

const redis = useRedis({ appendfsync: "always" });
const server = useInflux({ database: "telemetry" });
const postgres = usePostgres();
const STREAM = streamKey("telemetry");
const T0 = Date.UTC(2026, 0, 5) * 1000;

let writers: WriterProcess[] = [];
let opened: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const writer of writers.splice(0)) await writer.kill("SIGKILL");
  for (const one of opened.splice(0)) await one.close();
  writers = [];
  opened = [];
});

function env(bucket: string, rest: Record<string, string> = {}): Record<string, string> {
  const { url, username, password } = server;
  return {
    REDIS_URL: redis.url,
    INFLUXDB_URL: url,
    INFLUXDB_VERSION: "1",
    INFLUXDB_USERNAME: username,
    INFLUXDB_PASSWORD: password,
    INFLUXDB_BUCKET: bucket,
    INFLUXDB_TIMEOUT: "2000",
    ...rest,
  };
}

async function start(bucket: string, rest: Record<string, string> = {}): Promise<WriterProcess> {
  const writer = await runWriter(env(bucket, rest));
  writers.push(writer);
  return writer;
}

async function open(bucket: string): Promise<{ bus: Bus; influx: Influx }> {
  const bus = await openBus(redis.url);
  const { url, username, password } = server;
  const influx = openInflux({ url, version: 1, bucket, username, password });
  opened.push(influx, bus);
  return { bus, influx };
}

const balance = async (bus: Bus) => (await bus.ledger(STREAM)).find(({ group }) => group === "influx");

/** The ledger once everything up to now has its outcome. */
const settled = (bus: Bus) =>
  waitFor(
    async () => {
      const now = await balance(bus);
      return now && now.pending === 0 && now.unread === 0 ? now : undefined;
    },
    { timeoutMs: 25_000, what: "everything to be acknowledged" },
  );

async function count(influx: Influx, measurement: string, field = "value"): Promise<number> {
  const [series] = await influx.query(`SELECT count("${field}") FROM "${measurement}"`);
  return Number(series?.rows[0]?.count ?? 0);
}

describe("influx-writer", () => {
  test("a message is in InfluxDB within a second, with the tags the registry has, and then acknowledged", async () => {
    const { bus, influx } = await open("prompt");
    const db = await openDb(postgres.url);
    opened.push(db);
    await db.query(
      `INSERT INTO iot.devices (device_code, name, device_type, location_description) VALUES ('dev1', 'Office', 'environmental', 'hall')`,
    );
    await start("prompt", { DATABASE_URL: postgres.url });
    const sentMs = Date.now();
    await bus.publish(STREAM, [
      message("dev1", { temperature: 21.5 }, T0, { topic: "iotflow/devices/dev1/telemetry/temperature" }),
    ]);
    const ledger = await settled(bus); // InfluxDB 1 shows a point field by field while it is being written
    expect(Date.now() - sentMs).toBeLessThan(patience(1000));
    const [series] = await influx.query("SELECT * FROM temperature");
    expect(series?.rows).toEqual([
      {
        time: T0,
        device_id: "dev1",
        device_name: "Office",
        device_type: "environmental",
        location: "hall",
        topic: "iotflow/devices/dev1/telemetry/temperature",
        temperature: 21.5,
        value: 21.5,
      },
    ]);
    expect(ledger).toMatchObject({ quarantined: 0, balanced: true });
  });

  test("is killed again and again: every point is there once, and the ledger balances", async () => {
    const { bus, influx } = await open("killed");
    const before = (await balance(bus))?.stored ?? 0;
    const total = 6000;
    let sent = 0;
    const publishing = (async () => {
      for (; sent < total; sent += 50) {
        const batch = Array.from({ length: 50 }, (_, i) =>
          message(`k${(sent + i) % 7}`, { value: sent + i }, T0 + sent + i),
        );
        await bus.publish(STREAM, batch);
      }
    })();
    for (let round = 0; round < 4; round++) {
      const writer = await start("killed", {
        SLUICE_CONSUMER: `w${round % 2}`,
        INFLUXDB_BATCH_SIZE: "300",
        DATABASE_URL: postgres.url,
      });
      const from = (await balance(bus))?.stored ?? 0;
      await waitFor(async () => ((await balance(bus))?.stored ?? 0) > from || sent >= total);
      await writer.kill("SIGKILL");
    }
    await publishing;
    await start("killed", { SLUICE_CONSUMER: "w0", DATABASE_URL: postgres.url });
    await start("killed", { SLUICE_CONSUMER: "w1", DATABASE_URL: postgres.url });
    const after = await settled(bus);
    expect(after.stored - before).toBe(total);
    expect(after.balanced).toBe(true);
    expect(await count(influx, "temperature")).toBe(total);
    const [sum] = await influx.query("SELECT sum(value) FROM temperature");
    expect(sum?.rows[0]?.sum).toBe(((total - 1) * total) / 2);
  });

  test("while InfluxDB is down everything is held, other groups go on; then it drains by itself", async () => {
    const { bus, influx } = await open("held");
    await bus.ensureGroup(STREAM, "postgres");
    const other = await bus.reader({ stream: STREAM, group: "postgres", consumer: "t" });
    opened.unshift(other);
    await start("held");
    await server.kill("SIGKILL");
    const before = (await balance(bus))?.stored ?? 0;
    await bus.publish(
      STREAM,
      Array.from({ length: 500 }, (_, i) => message("h1", { value: i }, T0 + i)),
    );
    await waitFor(async () => ((await balance(bus))?.pending ?? 0) > 0);
    for (let read = 0; read < 500; ) {
      const entries = await other.read(10_000, 1000);
      for (const { messages } of entries) read += messages.filter((text) => text.includes('"h1"')).length;
      await other.ack(
        entries.map(({ id, messages }) => ({ id, stored: messages.length, duplicate: 0, quarantined: 0 })),
      );
    }
    expect((await balance(bus))?.stored).toBe(before);
    await server.restart();
    expect((await settled(bus)).stored - before).toBe(500);
    expect(await count(influx, "temperature")).toBe(500);
  });

  test("answers that get lost after InfluxDB has stored the points lead to no second point", async () => {
    const { bus, influx } = await open("replies");
    const proxy = await startProxy(server.port);
    opened.push(proxy);
    await start("replies", { INFLUXDB_URL: `http://127.0.0.1:${proxy.port}`, INFLUXDB_TIMEOUT: "300" });
    const before = (await balance(bus))?.stored ?? 0;
    await influx.ensureDatabase();
    proxy.dropReplies();
    await bus.publish(
      STREAM,
      Array.from({ length: 100 }, (_, i) => message("p1", { value: i }, T0 + i)),
    );
    await waitFor(async () => (await count(influx, "temperature")) === 100);
    const held = await balance(bus);
    expect(held?.stored).toBe(before);
    proxy.dropReplies(false);
    proxy.cutAll();
    expect((await settled(bus)).stored - before).toBe(100);
    expect(await count(influx, "temperature")).toBe(100);
  });

  test("a server that asks for patience is left alone for as long as it says", async () => {
    const { bus } = await open("patience");
    const asked: number[] = [];
    const overloaded = createServer((request, response) => {
      request.resume().on("end", () => {
        asked.push(Date.now());
        if (asked.length === 1)
          response.writeHead(429, { "retry-after": "2" }).end('{"message":"too many writes"}');
        else response.writeHead(204).end();
      });
    });
    await new Promise<void>((resolve) => overloaded.listen(0, "127.0.0.1", resolve));
    opened.push({
      close: async () => {
        overloaded.closeAllConnections();
        overloaded.close();
      },
    });
    const { port } = overloaded.address() as AddressInfo;
    await start("patience", {
      INFLUXDB_URL: `http://127.0.0.1:${port}`,
      INFLUXDB_VERSION: "2",
      INFLUXDB_TOKEN: "t",
    });
    await bus.publish(STREAM, [message("o1", { value: 1 }, T0)]);
    await settled(bus);
    expect(asked.length).toBe(2);
    expect((asked[1] ?? 0) - (asked[0] ?? 0)).toBeGreaterThanOrEqual(1990);
  });

  test("what InfluxDB cannot take goes to quarantine with its payload; the rest of the message is stored", async () => {
    const { bus, influx } = await open("refused");
    await start("refused", { SLUICE_SENSOR_BUDGET: "5" });
    await bus.publish(STREAM, [message("r1", { temperature: 1 }, T0, { type: "drift" })]);
    const first = await settled(bus);
    const from = (await bus.lag(streamKey("rejected"))).accepted;
    await bus.publish(STREAM, [
      message("r1", { temperature: "warm", ok: true }, T0 + 1, { type: "drift", seq: 5, boot: "b" }),
      message("r1", { temperature: "warm" }, T0 + 2, { type: "drift" }),
      message("r1", { temperature: "22.5" }, T0 + 3, { type: "drift" }),
      message("r1", { temperature: 9 }, T0, { type: "drift" }),
      message("r1", { a: 1, b: 2, c: 3, d: 4, e: 5, f: 6 }, T0 + 4, { type: "drift" }),
      "not a message",
      message("r1", { temperature: null }, T0 + 5, { type: "drift" }),
    ]);
    const after = await settled(bus);
    expect(after.stored - first.stored).toBe(4);
    expect(after.quarantined - first.quarantined).toBe(2);
    expect(after.duplicate - first.duplicate).toBe(1);
    expect(after.balanced).toBe(true);
    const entries = await bus.browse(streamKey("rejected"), { from: "-", count: 100 });
    const rejected = entries
      .flatMap(({ messages }) => messages)
      .slice(from)
      .map((text) => Rejected.parse(JSON.parse(text)));
    expect(rejected.map(({ reason, source }) => [reason, source])).toEqual([
      ["type_conflict", "influx"],
      ["type_conflict", "influx"],
      ["sensor_budget", "influx"],
      ["undecodable", "influx"],
    ]);
    expect(rejected[0]).toMatchObject({ device: "r1", type: "drift", seq: 5, boot: "b" });
    expect(rejected[0]?.messageId).toMatch(/^\d+-\d+#0$/);
    expect(Buffer.from(rejected[0]?.payload ?? "", "base64").toString()).toBe(
      '{"temperature":"warm","ok":true}',
    );
    expect(Buffer.from(rejected[3]?.payload ?? "", "base64").toString()).toBe("not a message");
    const [drift] = await influx.query("SELECT temperature, ok, a, b, c, d, e, f FROM drift");
    expect(
      drift?.rows.map(({ time, ...fields }) => Object.values(fields).filter((value) => value !== null)),
    ).toEqual([[1], [true], [22.5], [1, 2, 3]]);
  });

  test("goes on when PostgreSQL, which only knows the tags, cannot be reached", async () => {
    const { bus, influx } = await open("alone");
    const writer = await start("alone", { DATABASE_URL: "postgres://nobody@127.0.0.1:9/none" });
    await bus.publish(STREAM, [message("a1", { value: 1 }, T0)]);
    await settled(bus);
    expect(await count(influx, "temperature")).toBe(1);
    expect(writer.output()).toContain("registry cannot be asked");
  });

  test("ends with 0 on SIGTERM, its work acknowledged and its consumer gone", async () => {
    const { bus, influx } = await open("stopped");
    const writer = await start("stopped", { SLUICE_CONSUMER: "leaver" });
    await bus.publish(
      STREAM,
      Array.from({ length: 200 }, (_, i) => message("s1", { value: i }, T0 + i)),
    );
    await waitFor(async () => (await count(influx, "temperature").catch(() => 0)) > 0);
    expect(await writer.kill("SIGTERM")).toBe(0);
    const { groups } = await bus.lag(STREAM);
    const group = groups.find(({ group }) => group === "influx");
    expect(group?.consumers.map(({ name }) => name)).not.toContain("leaver");
    expect(group?.pending).toBe(0);
  });
});
