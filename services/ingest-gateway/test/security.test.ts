import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, expect } from "@jest/globals";
import { patience, waitFor } from "@sluice/testkit";
import { readCatalogue, runCatalogue } from "./catalogue.ts";
import { connectDevice, openRaw, storedOf, textsOf, useGateway } from "./use-gateway.ts";

const dir = mkdtempSync(join(tmpdir(), "sluice-tls-"));
const cert = join(dir, "server.crt");
const key = join(dir, "server.key");
/** Makes a certificate for loopback. */
const makeCertificate = (name: string) =>
  execFileSync(
    "openssl",
    [
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-days",
      "2",
    ].concat([
      "-subj",
      `/CN=${name}`,
      "-addext",
      "subjectAltName=IP:127.0.0.1",
      "-keyout",
      key,
      "-out",
      cert,
    ]),
    { stdio: "pipe" },
  );
makeCertificate("first");
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const it = useGateway({ SLUICE_MQTTS_PORT: "0", SLUICE_TLS_CERT: cert, SLUICE_TLS_KEY: key });
const ports = () => it.gateway.ports;
const urls = () => [it.mqttUrl, `ws://127.0.0.1:${ports().ws}`, `mqtts://127.0.0.1:${ports().mqtts}`];
const API = "the api's";
const OPS = "the installation's: e2e/test/security.test.ts";

runCatalogue("security", readCatalogue("security"), {
  S01: async () => {
    for (const url of urls()) {
      const ca = readFileSync(cert);
      await expect(connectDevice(url, { username: "", password: "" }, { ca })).rejects.toThrow(
        /Not authorized/,
      );
    }
  },
  S02: async () => {
    const b = await connectDevice(it.mqttUrl, it.b, { clientId: it.b.id });
    await expect(connectDevice(it.mqttUrl, it.a, { clientId: it.b.id })).rejects.toThrow(
      /Identifier rejected/,
    );
    await b.publishAsync("iotflow/devices/esp32_002/telemetry/s02", '{"x":1}', { qos: 1 });
    await b.endAsync();
  },
  S03: async () => {
    const devices = [it.a, it.b];
    for (const from of devices) {
      const client = await connectDevice(it.mqttUrl, from);
      for (const to of devices) {
        for (const kind of ["telemetry/s03", "status/online", "commands/reboot/result"]) {
          await client.publishAsync(`iotflow/devices/${to.id}/${kind}`, `{"from":"${from.id}"}`, { qos: 1 });
        }
      }
      await client.endAsync();
    }
    const texts = (await textsOf(it.bus, "telemetry")).filter((text) => text.includes('"from"'));
    const pairs = texts.map((text) => [/"d":"(\w+)"/.exec(text)?.[1], /"from":"(\w+)"/.exec(text)?.[1]]);
    expect(pairs).toHaveLength(6);
    expect(pairs.every(([device, from]) => device === from)).toBe(true);
  },
  S05: async () => {
    const client = await connectDevice(it.mqttUrl, it.a, { clientId: "s05-a" });
    const victim = await connectDevice(it.mqttUrl, it.b, { clientId: "s05-b" });
    await client.publishAsync("$SYS/x/new/clients", "s05-b", { qos: 1 });
    await client.publishAsync("$CONTROL/dynamic-security/v1", "{}", { qos: 1 });
    for (const filter of ["$SYS/#", "$CONTROL/#"])
      await expect(client.subscribeAsync(filter)).rejects.toThrow();
    await victim.publishAsync("iotflow/devices/esp32_002/telemetry/s05", '{"x":1}', { qos: 1 });
    expect(victim.connected).toBe(true);
    await client.endAsync();
    await victim.endAsync();
  },
  S07: "withdrawal cuts live sessions: trust.test.ts; nothing is queued for absent ones",
  S09: "slowing down of guesses: faults.test.ts",
  S10: "secrets are stored by packages/db; generated ones as HMAC-SHA-256",
  S11: "roles of the servers: e2e/test/security.test.ts",
  S12: "packet, topic and client id limits: B005, B007, B027, B028 in bad-mqtt.test.ts",
  S13: "connect timeout: B017 in bad-mqtt.test.ts",
  S14: "quotas per device: trust.test.ts; nothing is retained",
  S15: async () => {
    const slow = await connectDevice(it.mqttUrl, it.a, { clientId: "s15" });
    await slow.subscribeAsync("iotflow/devices/esp32_001/ack");
    (slow.stream as unknown as { pause(): void }).pause();
    const other = await connectDevice(it.mqttUrl, it.a, { clientId: "s15-other" });
    const before = Date.now();
    for (let i = 0; i < 500; i++) {
      await other.publishAsync("iotflow/devices/esp32_001/telemetry", `{"x":1,"boot":"s15","seq":${i}}`, {
        qos: 1,
      });
    }
    expect(Date.now() - before).toBeLessThan(patience(10_000));
    await slow.endAsync(true);
    await other.endAsync();
  },
  S16: "versions are the lock file's",
  S17: async () => {
    const url = `mqtts://127.0.0.1:${ports().mqtts}`;
    const client = await connectDevice(url, it.a, { ca: readFileSync(cert) });
    await client.publishAsync("iotflow/devices/esp32_001/telemetry/tls", '{"x":1}', { qos: 1 });
    await client.endAsync();
    expect((await storedOf(it.bus)).some((m) => m.type === "tls")).toBe(true);
    await expect(connectDevice(url, it.a)).rejects.toThrow(/self-signed/);
    const old = {
      port: ports().mqtts ?? 0,
      maxVersion: "TLSv1.1",
      minVersion: "TLSv1",
      rejectUnauthorized: true,
    } as const;
    await expect(
      new Promise((resolve, reject) => {
        connectTls({ ...old, host: "127.0.0.1", ca: readFileSync(cert) }, () => resolve("connected")).on(
          "error",
          reject,
        );
      }),
    ).rejects.toThrow();
    makeCertificate("second");
    await waitFor(
      async () =>
        connectDevice(url, it.a, { ca: readFileSync(cert) }).then(
          (c) => c.endAsync().then(() => true),
          () => false,
        ),
      {
        timeoutMs: 10_000,
        what: "the new certificate",
      },
    );
  },
  S18: "client certificates: trust.test.ts",
  S19: OPS,
  S20: "a search of the whole project: e2e/test/security.test.ts",
  S22: async () => {
    const paths = ["/api/v1/ingest", "/api/v1/devices/telemetry", "/api/data", "/api/v1/influxdb/telemetry"];
    for (const path of [...paths, "/api/v1/influxdb/telemetry/batch"]) {
      const answer = await fetch(it.httpUrl + path, {
        method: "POST",
        body: "{}",
        headers: { "content-type": "application/json" },
      });
      expect(answer.status).toBe(401);
    }
    expect((await fetch(`${it.httpUrl}/api/v1/now`)).status).toBe(200);
  },
  S23: "keys are compared as HMAC with timingSafeEqual: credentials.ts; made by packages/db",
  S24: "withdrawal over HTTP: B071 in bad-http.test.ts",
  S25: API,
  S26: API,
  S28: API,
  S29: "no 2xx before the append: faults.test.ts",
  S30: async () => {
    const bodies = [
      '{"a":{"b":{"c":{"d":{"e":{"f":{"g":{"h":{"i":{"j":1}}}}}}}}}}',
      "[[[]]]",
      '{"data":[]}',
      '{"points":{}}',
      '{"points":[null,1,"x",[]]}',
      "0",
      '""',
    ];
    for (const body of bodies) {
      const answer = await fetch(`${it.httpUrl}/api/v1/ingest`, {
        method: "POST",
        body,
        headers: { "content-type": "application/json", "x-api-key": it.a.apiKey },
      });
      expect(answer.status).toBe(400);
    }
  },
  S31: "the gateway writes no SQL of its own",
  S33: async () => {
    const before = Date.now();
    const raw = await openRaw(ports().http ?? 0, Buffer.from(`GET /${"a".repeat(100_000)} HTTP/1.1\r\n\r\n`));
    await raw.untilClosed();
    expect(Date.now() - before).toBeLessThan(patience(1000));
  },
  S36: "B078, B081, B084 in bad-http.test.ts",
  S37: "the console's",
  S38: "the console's",
  S39: "B082 in bad-http.test.ts",
  S40: "the console's",
  S41: API,
  S42: async () => {
    const texts = JSON.stringify([
      it.lines,
      await textsOf(it.bus, "rejected"),
      await textsOf(it.bus, "telemetry"),
    ]);
    for (const { password, apiKey } of [it.a, it.b]) {
      expect(texts).not.toContain(password);
      expect(texts).not.toContain(apiKey);
    }
    const { text } = await it.metrics.expose();
    expect(text).not.toContain(it.a.apiKey);
  },
  S44: OPS,
  S45: OPS,
  S46: OPS,
  S47: "the lock file's",
  S49: "quarantine is in PostgreSQL; nothing is spooled to files",
  S50: OPS,
  S51: OPS,
  S52: "documents",
});
