import { expect } from "@jest/globals";
import { patience, waitFor } from "@sluice/testkit";
import { generate, type Packet } from "mqtt-packet";
import { readCatalogue, runCatalogue } from "./catalogue.ts";
import {
  connectDevice,
  openRaw,
  type RawSocket,
  refusedCounts,
  rejectedOf,
  storedOf,
  useGateway,
} from "./use-gateway.ts";

const it = useGateway();
const port = () => it.gateway.ports.mqtt ?? 0;
const hex = (text: string) => Buffer.from(text.replace(/\s/g, ""), "hex");
const connectPacket = (more: object = {}): Packet =>
  ({
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: 4,
    clean: true,
    clientId: `raw-${Math.random().toString(36).slice(2)}`,
    keepalive: 60,
    username: it.a.username,
    password: Buffer.from(it.a.password),
    ...more,
  }) as Packet;
const OK = "20020000";
let uses = 0;

/** A raw connection that has been let in. */
async function rawConnected(more: object = {}): Promise<RawSocket> {
  const raw = await openRaw(port(), generate(connectPacket(more)));
  await raw.untilBytes(4);
  expect(raw.received().subarray(0, 4).toString("hex")).toBe(OK);
  return raw;
}

const total = async () => Object.values(await refusedCounts(it.metrics)).reduce((sum, n) => sum + n, 0);

/** Runs `act`; exactly `count` refusals are counted for it, and the other device still gets through. */
async function refusing(count: number, act: () => Promise<void>): Promise<void> {
  const before = await total();
  await act();
  await waitFor(async () => (await total()) - before >= count, {
    timeoutMs: 5000,
    what: `${count} refusals`,
  });
  expect((await total()) - before).toBe(count);
  await othersWork();
}

async function othersWork(): Promise<void> {
  const client = await connectDevice(it.mqttUrl, it.b);
  const field = `alive${++uses}`;
  await client.publishAsync("iotflow/devices/esp32_002/telemetry", `{"${field}":1}`, { qos: 1 });
  await client.endAsync();
}

const closesOn = (bytes: Buffer, connected = true, count = 1) =>
  refusing(count, async () => {
    const raw = connected ? await rawConnected() : await openRaw(port());
    raw.socket.write(bytes);
    await raw.untilClosed();
  });

const publish = (topic: string | Buffer, payload: string | Buffer, messageId = 1) => {
  const name = Buffer.isBuffer(topic) ? topic : Buffer.from(topic);
  const body = Buffer.concat([
    Buffer.from([name.length >> 8, name.length & 255]),
    name,
    Buffer.from([messageId >> 8, messageId & 255]),
    Buffer.from(payload),
  ]);
  const length: number[] = [];
  for (let rest = body.length; ; ) {
    length.push((rest & 127) | (rest > 127 ? 128 : 0));
    rest >>= 7;
    if (rest === 0) break;
  }
  return Buffer.concat([Buffer.from([0x32, ...length]), body]);
};

/** The publish is acknowledged, once, and kept in `rejected` with this reason and its bytes. */
async function rejects(reason: string, topic: string | Buffer, payload: string | Buffer): Promise<void> {
  await refusing(1, async () => {
    const raw = await rawConnected();
    raw.socket.write(publish(topic, payload, 7));
    await raw.untilBytes(8);
    expect(raw.received().subarray(4).toString("hex")).toBe("40020007");
    raw.socket.destroy();
  });
  const kept = (await rejectedOf(it.bus)).at(-1);
  expect(kept?.reason).toBe(reason);
  const bytes = Buffer.from(payload);
  if (bytes.length <= 65_536) expect(Buffer.from(kept?.payload ?? "", "base64")).toEqual(bytes);
  else expect(kept?.truncated).toBe(true);
}

const OWN = "iotflow/devices/esp32_001/telemetry";
const rejectsPayload =
  (reason: string, ...payloads: (string | Buffer)[]) =>
  async () => {
    for (const payload of payloads) await rejects(reason, OWN, payload);
  };

/** The payload is accepted; gives the message. */
async function stores(payload: string, type = `t${++uses}`) {
  const raw = await rawConnected();
  raw.socket.write(publish(`${OWN}/${type}`, payload, 9));
  await raw.untilBytes(8);
  raw.socket.destroy();
  const message = (await storedOf(it.bus)).find((m) => m.type === type);
  if (!message) throw new Error(`not stored: ${payload}`);
  return message;
}

runCatalogue(
  "bad MQTT input",
  readCatalogue("bad-inputs").filter((entry) => entry.where.startsWith("mqtt")),
  {
    B001: () => closesOn(hex("30 03 00 01 61"), false),
    B002: () => closesOn(generate(connectPacket())),
    B003: () =>
      refusing(2, async () => {
        const named = await openRaw(port(), hex("10 10 00 04 4d 51 54 58 04 02 00 3c 00 04 61 61 61 61"));
        const level = await openRaw(port(), hex("10 10 00 04 4d 51 54 54 09 02 00 3c 00 04 61 61 61 61"));
        await Promise.all([named.untilClosed(), level.untilClosed()]);
      }),
    B004: () =>
      refusing(1, async () => {
        const raw = await openRaw(port(), hex("10 0c 00 04 4d 51 54 54 04 00 00 3c 00 00"));
        await raw.untilClosed();
        expect(raw.received().toString("hex")).toBe("20020002");
      }),
    B005: async () => {
      for (const clientId of ["nul\u0000", "new\nline", "a/b", "a+b", "a#b", "../x", "x".repeat(200)]) {
        await refusing(1, async () => {
          const raw = await openRaw(port(), generate(connectPacket({ clientId })));
          await raw.untilClosed();
        });
      }
      await closesOn(generate(connectPacket({ clientId: "x".repeat(65_535) })), false);
      expect(JSON.stringify(it.lines)).not.toContain("\\u0000");
    },
    B007: () =>
      refusing(1, async () => {
        const before = process.memoryUsage().rss;
        const raw = await rawConnected();
        raw.socket.write(hex("32 ff ff ff 7f"));
        raw.socket.write(Buffer.alloc(1_000_000));
        await raw.untilClosed();
        expect(process.memoryUsage().rss - before).toBeLessThan(50_000_000);
      }),
    B008: () => closesOn(hex("32 ff ff ff ff 7f")),
    B009: () => closesOn(hex("36 05 00 01 61 00 01")),
    B011: async () => {
      const raw = await rawConnected();
      raw.socket.write(
        Buffer.concat([
          hex(`38 ${(OWN.length + 2 + 9).toString(16)} 00 ${OWN.length.toString(16)}`),
          Buffer.from(`${OWN}{"dup":1}`),
        ]),
      );
      await waitFor(async () => raw.closed() || JSON.stringify(await storedOf(it.bus)).includes('"dup"'));
      raw.socket.destroy();
      await othersWork();
    },
    B013: () =>
      refusing(1, async () => {
        const raw = await openRaw(
          port(),
          hex("10 14 00 04 4d 51 54 54 05 02 00 3c 04 7f 01 7f 01 00 03 61 62 63"),
        );
        await raw.untilClosed();
      }),
    B014: "topic aliases are MQTT 5; the built-in broker refuses level 5 with CONNACK 1 (B021), Mosquitto is configured for them",
    B015: async () => {
      const raw = await rawConnected();
      raw.socket.write(
        Buffer.concat(Array.from({ length: 300 }, (_, i) => publish(`${OWN}/window`, '{"x":1}', i + 1))),
      );
      await raw.untilBytes(4 + 300 * 4);
      raw.socket.destroy();
      expect((await storedOf(it.bus)).filter((m) => m.type === "window")).toHaveLength(300);
      await othersWork();
    },
    B016: async () => {
      await closesOn(hex("82 02 00 01"));
      await closesOn(hex("82 06 00 01 00 01 61 03"));
      await closesOn(hex("80 06 00 01 00 01 61 00"));
    },
    B017: async () => {
      const slow = await Promise.all(Array.from({ length: 1000 }, () => openRaw(port(), hex("10"))));
      const before = Date.now();
      try {
        await othersWork();
        // A second is the promise; this process runs the thousand clients as well.
        expect(Date.now() - before).toBeLessThan(patience(3000));
      } finally {
        await waitFor(() => slow.every((raw) => raw.closed()), {
          timeoutMs: 25_000,
          what: "slow sockets to be dropped",
        });
      }
    },
    B018: async () => {
      for (const keepalive of [0, 65_535]) {
        const client = await connectDevice(it.mqttUrl, it.a, { keepalive, clientId: `keep-${keepalive}` });
        await client.endAsync();
      }
    },
    B020: async () => {
      const raw = await rawConnected();
      raw.socket.write(hex("62 02 12 34"));
      await raw.untilBytes(8);
      expect(raw.received().subarray(4).toString("hex")).toBe("70021234");
      const qos2 = (id: number) => {
        const packet = publish(OWN, '{"half":1}', id);
        packet[0] = 0x34;
        return packet;
      };
      raw.socket.write(Buffer.concat(Array.from({ length: 2000 }, (_, i) => qos2(i + 1))));
      await raw.untilClosed();
      await othersWork();
    },
    B021: async () => {
      const old = await openRaw(
        port(),
        generate(connectPacket({ protocolId: "MQIsdp", protocolVersion: 3 })),
      );
      await old.untilBytes(4);
      expect(old.received().toString("hex")).toBe(OK);
      old.socket.destroy();
      const five = await openRaw(port(), generate(connectPacket({ protocolVersion: 5 })));
      await five.untilClosed();
      expect(five.received().subarray(0, 4).toString("hex")).toMatch(/^20/);
      await othersWork();
    },
    B022: async () => {
      await closesOn(hex("16 03 01 00 05 01 00 00 01 00"), false);
      await closesOn(Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), false);
    },
    B023: async () => {
      for (const topic of ["devices/+/telemetry", "devices/#"]) await closesOn(publish(topic, '{"x":1}'));
    },
    B024: async () => {
      await closesOn(publish("", '{"x":1}'));
      for (const topic of ["/", "//", "devices//telemetry", `${OWN}/`, "iotflow/devices//telemetry"]) {
        await rejects(
          topic === "iotflow/devices//telemetry" ? "bad_device_id" : "bad_topic",
          topic,
          '{"x":1}',
        );
      }
    },
    B025: async () => {
      for (const odd of ["\u0000", "\u0001", "\ufeff", "\uffff"])
        await rejects("bad_topic", `${OWN}/a${odd}`, '{"x":1}');
      for (const bytes of [hex("fffe"), hex("eda080")]) {
        await rejects("bad_topic", Buffer.concat([Buffer.from(`${OWN}/`), bytes]), '{"x":1}');
      }
    },
    B027: async () => {
      await closesOn(publish("a/".repeat(150), '{"x":1}'));
      await closesOn(publish("a/".repeat(10_000), '{"x":1}'));
    },
    B028: () => rejects("bad_topic", "a".repeat(65_535), '{"x":1}'),
    B030: async () => {
      await rejects("not_authorised", "iotflow/devices/esp32_002/telemetry", '{"x":1}');
      await rejects("device_mismatch", OWN, '{"device_id":"esp32_002","x":1}');
    },
    B031: async () => {
      for (const id of ["esp32_00а", "é", "e\u0301", "İ"]) {
        await rejects("bad_device_id", `iotflow/devices/${id}/telemetry`, '{"x":1}');
      }
    },
    B032: async () => {
      for (const id of ["constructor", "__proto__", "toString", "null", "0", "-1", "1e3"]) {
        await rejects("not_authorised", `iotflow/devices/${id}/telemetry`, '{"x":1}');
      }
    },
    B033: async () => {
      const client = await connectDevice(it.mqttUrl, it.a);
      const heard: string[] = [];
      client.on("message", (topic) => void heard.push(topic));
      for (const filter of ["#", "+/+/+", "$SYS/#", "iotflow/#", "iotflow/devices/+/ack"]) {
        await expect(client.subscribeAsync(filter)).rejects.toThrow();
      }
      const raw = await rawConnected();
      for (const [i, filter] of ["$share//x", "$share/g+/x"].entries()) {
        raw.socket.write(
          generate({
            cmd: "subscribe",
            messageId: i + 1,
            subscriptions: [{ topic: filter, qos: 1 }],
          } as Packet),
        );
      }
      await waitFor(() => raw.closed() || raw.received().length >= 14);
      raw.socket.destroy();
      await othersWork();
      expect(heard).toEqual([]);
      await client.endAsync();
    },
    B034: async () => {
      await rejects("not_authorised", "iotflow/devices/ESP32_001/telemetry", '{"x":1}');
      await rejects("bad_device_id", "iotflow/devices/esp32%2F001/telemetry", '{"x":1}');
      await rejects("bad_device_id", "iotflow/devices/esp32\\001/telemetry", '{"x":1}');
    },
    B035: async () => {
      const client = await connectDevice(it.mqttUrl, it.a);
      for (let i = 0; i < 200; i++) {
        await client.publishAsync(`${OWN}/r${i}`, '{"x":1}', { qos: 1, retain: true });
      }
      const heard: string[] = [];
      client.on("message", (topic) => void heard.push(topic));
      await client.subscribeAsync("iotflow/devices/esp32_001/#");
      await client.publishAsync(OWN, '{"x":1}', { qos: 1 });
      expect(heard).toEqual([]);
      await client.endAsync();
    },
    B037: rejectsPayload("empty", ""),
    B038: async () => {
      await rejects("too_large", OWN, Buffer.alloc(262_145, " "));
      await rejects("too_large", OWN, Buffer.alloc(1_000_000, " "));
      await closesOn(publish(OWN, Buffer.alloc(10_000_000, " ")));
    },
    B039: async () => {
      const text = ["hello", "{", "[1,", '{"x":NaN}', "{'x':1}", '{"x":1,}', "\ufeff{}"];
      await rejectsPayload("not_json", ...text)();
      await rejectsPayload("not_json", Buffer.from('{"x":1}', "utf16le"))();
      await rejectsPayload("not_utf8", hex("1f8b0800000000000003"), hex("a1617801ff"))();
    },
    B040: async () => {
      await rejectsPayload("not_object", "null", "true", "42", '"x"')();
      await rejectsPayload("no_readings", "[]")();
    },
    B042: async () => {
      await rejectsPayload(
        "bad_field_name",
        '{"__proto__":{"admin":true}}',
        '{"constructor":{"prototype":{"x":1}}}',
      )();
      expect(({} as { admin?: boolean }).admin).toBeUndefined();
    },
    B043: async () => {
      expect((await stores('{"t":1,"t":2}')).samples[0]?.readings).toEqual([{ field: "t", value: 2 }]);
    },
    B044: async () => {
      const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`f${i}`, i]));
      await rejects("too_many_fields", OWN, JSON.stringify(many));
    },
    B045: "the budget of new fields per device is the stream-worker's (SLUICE_SENSOR_BUDGET)",
    B046: async () => {
      await rejectsPayload("not_finite", '{"x":1e999}', '{"x":"NaN"}', '{"x":"inf"}')();
      await rejectsPayload("not_json", '{"x":NaN}', '{"x":Infinity}')();
      expect((await stores('{"x":-0,"y":1e-400}')).samples[0]?.readings.map((r) => r.value)).toEqual([-0, 0]);
    },
    B048: async () => {
      await rejectsPayload("bad_value", '{"x":[5]}')();
      const odd = await stores('{"a":""," b":" 12 ","c":"0x1F","d":null}');
      expect(odd.samples[0]?.readings.map((r) => r.value)).toEqual(["", " 12 ", "0x1F", null]);
    },
    B049: async () => {
      for (const ts of [0, 1, -1, '"1970-01-01T00:00:00Z"']) {
        const sample = (await stores(`{"x":1,"ts":${ts}}`)).samples[0];
        expect(sample?.clock).toBe("past");
        expect(Math.abs((sample?.timeUs ?? 0) / 1000 - Date.now())).toBeLessThan(60_000);
      }
    },
    B051: async () => {
      for (const ts of [
        Date.now() + 10 * 365 * 86_400_000,
        '"9999-12-31T00:00:00Z"',
        '"+275760-09-13"',
        "8e15",
      ]) {
        const sample = (await stores(`{"x":1,"ts":${ts}}`)).samples[0];
        expect(["future", "unparsable"]).toContain(sample?.clock);
        expect(Math.abs((sample?.timeUs ?? 0) / 1000 - Date.now())).toBeLessThan(60_000);
      }
    },
    B053: async () => {
      const message = await stores('{"x":1,"ts":"2026-02-30T00:00:00Z"}');
      expect(message.samples.every((s) => Number.isSafeInteger(s.timeUs))).toBe(true);
    },
    B054: async () => {
      const first = await stores('{"x":1,"boot":"B054","seq":1}');
      const second = await stores('{"x":2,"boot":"B054","seq":1}');
      expect(second.samples[0]?.timeUs).toBe(first.samples[0]?.timeUs); // so the database sees the conflict
    },
    B056: async () => {
      const seqs = [5, 4, 1_000_005, 2 ** 32, 0];
      const times = new Set<number>();
      for (const seq of seqs)
        times.add((await stores(`{"x":1,"boot":"B056","seq":${seq}}`)).samples[0]?.timeUs ?? 0);
      expect(times.size).toBe(seqs.length);
      await rejectsPayload("bad_sequence", '{"x":1,"seq":1.5}', '{"x":1,"seq":-1}', '{"x":1,"seq":"7"}')();
    },
    B058: async () => {
      await rejects("value_too_long", OWN, JSON.stringify({ x: "y".repeat(100_000) }));
      const message = await stores(`{"x":"\u202e\u200b😀","location":"${"z".repeat(1000)}"}`);
      expect(message.tags?.location).toHaveLength(256);
    },
    B059: async () => {
      const message = await stores('{"x":1,"location":"a\\nevil,x=1 v=2 9999"}');
      expect(message.tags).toEqual({ location: "a\nevil,x=1 v=2 9999" });
    },
    B061: async () => {
      await rejects("bad_topic", `${OWN}/_internal`, '{"x":1}');
      await rejects("bad_field_name", OWN, '{"":1}');
    },
    B062: "the type of a sensor is fixed by the stream-worker and the influx-writer",
    B063: "concerns CSV export, not ingest; the text is stored as sent",
    B064: "concerns the console, not ingest; the text is stored as sent",
    B065: async () => {
      await rejects("bad_topic", "x/\u001b[2J/%s%n", '{"x":1}');
      await rejects("not_json", OWN, "\u001b[2J\r\nlevel=error $\u007bjndi:x}");
      for (const line of it.lines) expect(JSON.stringify(line.who ?? "")).not.toContain("\\u001b");
    },
    B067: async () => {
      const both = await Promise.all([connectDevice(it.mqttUrl, it.a), connectDevice(it.mqttUrl, it.a)]);
      await Promise.all(
        Array.from({ length: 500 }, (_, i) =>
          both[i % 2]?.publishAsync(`${OWN}/same500`, '{"x":1,"boot":"B067","seq":1}', { qos: 1 }),
        ),
      );
      const same = (await storedOf(it.bus)).filter((m) => m.type === "same500");
      expect(new Set(same.map((m) => m.samples[0]?.timeUs)).size).toBe(1); // one row
      await Promise.all(both.map((client) => client.endAsync()));
    },
    B068: async () => {
      const samples = Array.from({ length: 100 }, (_, i) => ({
        x: i === 41 ? [1] : i,
        ts: 1_790_000_000 + i,
      }));
      let good = 0;
      await refusing(1, async () => {
        good = (await stores(JSON.stringify(samples))).samples.length;
      });
      expect(good).toBe(99);
      expect((await rejectedOf(it.bus)).at(-1)).toMatchObject({ reason: "bad_value", index: 41 });
    },
    B069: "MQTT payloads are never inflated; over HTTP see B069 there",
  },
);
