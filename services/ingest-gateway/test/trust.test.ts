import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import {
  createClaimToken,
  createDevice,
  createFleet,
  disableDevice,
  revokeClaimToken,
  rotateDevice,
} from "@sluice/db";
import { patience, waitFor } from "@sluice/testkit";
import type { MqttClient } from "mqtt";
import { generate } from "mqtt-packet";
import { readTls } from "../src/tls.ts";
import { connectDevice, openRaw, PEPPER, rejectedOf, storedOf, useGateway } from "./use-gateway.ts";

const dir = mkdtempSync(join(tmpdir(), "sluice-mtls-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const file = (name: string) => join(dir, name);
const openssl = (...args: string[]) => execFileSync("openssl", args, { stdio: "pipe", cwd: dir });
const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
openssl("req", "-x509", ...EC, "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.crt", "-days", "2");
/** A certificate of our authority. */
const issue = (name: string, days = "2") => {
  openssl("req", ...EC, "-subj", `/CN=${name}`, "-keyout", `${name}.key`, "-out", `${name}.csr`);
  writeFileSync(file(`${name}.ext`), `subjectAltName=IP:127.0.0.1,DNS:${name.replace("_", "-")}`);
  const sign = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", `${name}.ext`];
  openssl("x509", "-req", "-in", `${name}.csr`, ...sign, "-out", `${name}.crt`, "-days", days);
};
for (const name of ["server", "esp32_001", "stranger"]) issue(name);

const it = useGateway({
  SLUICE_MQTTS_PORT: "0",
  SLUICE_HTTPS_PORT: "0",
  SLUICE_TLS_CERT: file("server.crt"),
  SLUICE_TLS_KEY: file("server.key"),
  SLUICE_TLS_CLIENT_CA: file("ca.crt"),
  SLUICE_DEVICE_RATE: "20",
});
const ca = readFileSync(file("ca.crt"));
const tls = (name: string) => ({
  ca,
  cert: readFileSync(file(`${name}.crt`)),
  key: readFileSync(file(`${name}.key`)),
});

/** The next message that a client receives. */
const nextMessage = (client: MqttClient) =>
  new Promise<Record<string, string>>((resolve) => {
    client.once("message", (_topic, payload) => resolve(JSON.parse(payload.toString())));
  });

async function claim(token: string, device: string): Promise<Record<string, string>> {
  const client = await connectDevice(
    it.mqttUrl,
    { username: "claim", password: token },
    { clientId: device },
  );
  try {
    await client.subscribeAsync(`iotflow/discovery/response/${device}`, { qos: 1 });
    const answer = nextMessage(client);
    await client.publishAsync(`iotflow/discovery/register/${device}`, "{}", { qos: 1 });
    return await answer;
  } finally {
    await client.endAsync(true);
  }
}

describe("self-registration", () => {
  test("a device with a claim token gets a credential that works at once; an answer that was lost is given again", async () => {
    const { token } = await createClaimToken(it.db, PEPPER, {
      uses: 1,
      lifeMs: 60_000,
      devicePrefix: "new-",
    });
    const lost = await claim(token, "new-1");
    expect(lost).toMatchObject({ status: "registered", device_id: "new-1", username: "dev_new-1" });
    const { username = "", password = "" } = await claim(token, "new-1");
    const client = await waitFor(() =>
      connectDevice(it.mqttUrl, { username, password }).catch(() => undefined),
    );
    await client.publishAsync("iotflow/devices/new-1/telemetry/claimed", '{"x":1}', { qos: 1 });
    await client.endAsync();
    expect((await storedOf(it.bus)).filter((m) => m.type === "claimed")).toHaveLength(1);
    expect(await claim(token, "new-2")).toMatchObject({ status: "refused", reason: "used_up" });
    expect(await claim(token, "other-1")).toMatchObject({ status: "refused", reason: "wrong_device" });
    expect(JSON.stringify([it.lines, await rejectedOf(it.bus)])).not.toContain(token);
  });

  test("a token takes over no device, does nothing else, and ends", async () => {
    const { token, id } = await createClaimToken(it.db, PEPPER, { uses: 5, lifeMs: 60_000 });
    expect(await claim(token, "esp32_001")).toMatchObject({ status: "refused", reason: "exists" });
    const bearer = { username: "claim", password: token };
    const client = await connectDevice(it.mqttUrl, bearer);
    for (const filter of ["iotflow/discovery/response/+", "iotflow/devices/esp32_001/ack", "#"]) {
      await expect(client.subscribeAsync(filter)).rejects.toThrow();
    }
    const cut = new Promise((resolve) => client.once("close", () => resolve(true)));
    client.publish("iotflow/devices/esp32_001/telemetry/forged", '{"x":1}', { qos: 1 }, () => {});
    await cut;
    expect((await storedOf(it.bus)).some((m) => m.type === "forged")).toBe(false);
    await revokeClaimToken(it.db, id);
    await expect(connectDevice(it.mqttUrl, bearer)).rejects.toThrow(/Not authorized/);
    const { token: brief } = await createClaimToken(it.db, PEPPER, { uses: 5, lifeMs: 1 });
    await expect(connectDevice(it.mqttUrl, { username: "claim", password: brief })).rejects.toThrow(
      /Not authorized/,
    );
  });
});

describe("rotation and withdrawal", () => {
  test("both secrets are good during the overlap; afterwards the old ones are refused; a disabled device is cut within a second", async () => {
    await createDevice(it.db, PEPPER, { id: "rot_1" });
    const old = await rotateDevice(it.db, PEPPER, "rot_1", { overlapMs: 0 });
    const fresh = await rotateDevice(it.db, PEPPER, "rot_1", { overlapMs: 60_000 });
    const [first, second] = await Promise.all(
      [old, fresh].map((secret) => waitFor(() => connectDevice(it.mqttUrl, secret).catch(() => undefined))),
    );
    await Promise.all([first?.endAsync(), second?.endAsync()]);
    const newest = await rotateDevice(it.db, PEPPER, "rot_1", { overlapMs: 0 });
    const client = await waitFor(() => connectDevice(it.mqttUrl, newest).catch(() => undefined));
    await expect(connectDevice(it.mqttUrl, fresh)).rejects.toThrow(/Not authorized/);
    const cut = new Promise((resolve) => client.once("close", () => resolve(true)));
    const before = Date.now();
    await disableDevice(it.db, "rot_1");
    await cut;
    expect(Date.now() - before).toBeLessThan(patience(1000));
  });
});

describe("quotas", () => {
  test("a device that floods is refused and slowed; others are not held up", async () => {
    const { username, password } = await createFleet(it.db, PEPPER, {
      username: "flood",
      devices: ["flood_1"],
      type: "esp32",
      overlapMs: 0,
    });
    const flood = await waitFor(() =>
      connectDevice(it.mqttUrl, { username, password }).catch(() => undefined),
    );
    for (let i = 0; i < 3000; i++) {
      flood.publish("iotflow/devices/flood_1/telemetry/flood", `{"x":${i}}`, { qos: 0 });
    }
    const other = await connectDevice(it.mqttUrl, it.b);
    const tookMs: number[] = [];
    for (let i = 0; i < 50; i++) {
      const before = performance.now();
      await other.publishAsync("iotflow/devices/esp32_002/telemetry/calm", `{"x":${i}}`, { qos: 1 });
      tookMs.push(performance.now() - before);
    }
    tookMs.sort((a, b) => a - b);
    expect(tookMs.at(-2)).toBeLessThan(patience(200));
    await waitFor(async () =>
      (await rejectedOf(it.bus)).some((r) => r.reason === "quota_exceeded" && r.device === "flood_1"),
    );
    const kept = (await storedOf(it.bus)).filter((m) => m.type === "flood").length;
    expect(kept).toBeGreaterThanOrEqual(200);
    expect(kept).toBeLessThan(400);
    await flood.endAsync(true);
    await other.endAsync();
  });

  test("over HTTP it is 429 with Retry-After", async () => {
    const { apiKey } = await createDevice(it.db, PEPPER, { id: "flood_2" });
    const post = () =>
      fetch(`${it.httpUrl}/api/v1/ingest`, {
        method: "POST",
        headers: { "x-api-key": apiKey, "content-type": "application/json" },
        body: '{"points":[{"x":1},{"x":2},{"x":3},{"x":4},{"x":5},{"x":6},{"x":7},{"x":8},{"x":9},{"x":10}]}',
      });
    await waitFor(async () => (await post()).status < 300);
    const answers = await Promise.all(Array.from({ length: 40 }, post));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThan(10);
    expect(Number(refused[0]?.headers.get("retry-after"))).toBeGreaterThan(0);
  });
});

describe("TLS", () => {
  const url = () => `mqtts://127.0.0.1:${it.gateway.ports.mqtts}`;

  test("a client certificate stands for the device it names, and for no other", async () => {
    const nobody = { username: "", password: "" };
    const client = await connectDevice(url(), nobody, { clientId: "esp32_001", ...tls("esp32_001") });
    await client.publishAsync("iotflow/devices/esp32_001/telemetry/mtls", '{"x":1}', { qos: 1 });
    await client.publishAsync("iotflow/devices/esp32_002/telemetry/mtls", '{"x":2}', { qos: 1 });
    const stored = (await storedOf(it.bus)).filter((m) => m.type === "mtls");
    expect(stored.map(({ device }) => device)).toEqual(["esp32_001"]);
    for (const [clientId, name, who] of [
      ["esp32_002", "esp32_001", nobody],
      ["esp32_001", "esp32_001", it.b],
      ["stranger", "stranger", nobody],
    ] as const) {
      await expect(connectDevice(url(), who, { clientId, ...tls(name) })).rejects.toThrow(/Not authorized/);
    }
    await expect(connectDevice(url(), it.a, { ca, clientId: "esp32_001" })).rejects.toThrow();
    await client.endAsync();
  });

  test("the ingest routes are served over HTTPS as well", async () => {
    const status = await new Promise<number | undefined>((resolve, reject) => {
      request(
        `https://127.0.0.1:${it.gateway.ports.https}/api/v1/now`,
        { ca, minVersion: "TLSv1.2" },
        (response) => {
          response.resume();
          resolve(response.statusCode);
        },
      )
        .on("error", reject)
        .end();
    });
    expect(status).toBe(200);
  });

  test("B109 a key that others can read, another's key and a certificate out of date are refused by name", () => {
    const files = { cert: file("server.crt"), key: file("server.key") };
    chmodSync(files.key, 0o644);
    expect(() => readTls(files)).toThrow(/server\.key is readable by everybody/);
    chmodSync(files.key, 0o600);
    chmodSync(file("stranger.key"), 0o600);
    expect(() => readTls({ ...files, key: file("stranger.key") })).toThrow(
      /stranger\.key is not the key of .*server\.crt/,
    );
    issue("old", "-1");
    chmodSync(file("old.key"), 0o600);
    expect(() => readTls({ cert: file("old.crt"), key: file("old.key") })).toThrow(
      /old\.crt expired on .*20\d\d/,
    );
    writeFileSync(file("bad.crt"), "no certificate");
    expect(() => readTls({ ...files, cert: file("bad.crt") })).toThrow(/bad\.crt cannot be read as PEM/);
  });
});

describe("a reconnect storm", () => {
  test("of 3,000 devices is answered from memory while a device publishes on", async () => {
    const ids = Array.from({ length: 3000 }, (_, i) => `storm_${i}`);
    const login = await createFleet(it.db, PEPPER, {
      username: "storm",
      devices: ids,
      type: "esp32",
      overlapMs: 0,
    });
    await waitFor(() =>
      connectDevice(it.mqttUrl, login).then(
        (client) => client.endAsync().then(() => true),
        () => false,
      ),
    );
    const calm = await connectDevice(it.mqttUrl, it.b);
    const storm = Promise.all(
      ids.map(async (clientId) => {
        const raw = await openRaw(
          it.gateway.ports.mqtt ?? 0,
          generate({
            cmd: "connect",
            protocolId: "MQTT",
            protocolVersion: 4,
            clean: true,
            clientId,
            keepalive: 60,
            username: login.username,
            password: Buffer.from(login.password),
          }),
        );
        if (raw.received().length < 4) await once(raw.socket, "data");
        raw.socket.destroy();
        return raw.received()[3];
      }),
    );
    await calm.publishAsync("iotflow/devices/esp32_002/telemetry/calm", '{"storm":1}', { qos: 1 });
    expect(new Set(await storm)).toEqual(new Set([0]));
    await calm.endAsync();
  });
});
