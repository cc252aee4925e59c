import { existsSync, readFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals";
import { openDb } from "@sluice/db";
import { findBinary, freePort, startCaddy, startNginx } from "@sluice/servers";
import { type Installation, startInstallation, useServer, waitFor } from "@sluice/testkit";
import mqtt from "mqtt";
import { createCertificates } from "../../src/faults/certificates.ts";

jest.setTimeout(120_000);
const DEPLOY = join(import.meta.dirname, "../../../deploy");
/** Where the client of these tests is, as the front sees it. */
const CLIENT = "127.0.0.2";

let installation: Installation;
let wsPort = 0;
const certificates = createCertificates();
beforeAll(async () => {
  wsPort = await freePort();
  installation = await startInstallation({
    services: ["ingest-gateway", "stream-worker", "api"],
    // The front alone: the client's own address is of this machine, too.
    env: { SLUICE_WS_PORT: `${wsPort}`, SLUICE_TRUSTED_PROXIES: "127.0.0.1" },
  });
});
afterAll(() => installation.stop());

const portOf = (url: string) => new URL(url).port;
const addresses = async () => {
  const status = await installation.status();
  return { http: portOf(status?.httpUrl ?? ""), mqtt: portOf(status?.mqttUrl ?? "") };
};

interface Front {
  port: number;
  ca: string;
}

/** Asks through the front, from {@link CLIENT}, and gives the answer's head once the first of its body is there. */
function ask(front: Front, method: string, path: string, headers: Record<string, string>, body?: string) {
  return new Promise<{ status: number; headers: Record<string, unknown> }>((resolve, reject) => {
    const options = { host: "127.0.0.1", port: front.port, ca: front.ca, localAddress: CLIENT };
    const asked = request({ ...options, method, path, headers, agent: false }, (answer) => {
      answer.once("data", () => {
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers });
        asked.destroy();
      });
    });
    asked.on("error", reject);
    asked.end(body);
  });
}

async function publish(url: string, ca: string, device: string): Promise<void> {
  const { username, password } = await installation.createFleet(`fleet-${device}`, [device]);
  const client = await mqtt.connectAsync(url, {
    username,
    password,
    clientId: device,
    ca,
    reconnectPeriod: 0,
  });
  await client.publishAsync(`iotflow/devices/${device}/telemetry`, '{"temperature":21.5,"seq":1}', {
    qos: 1,
  });
  await client.endAsync();
}

/** What every front does for HTTP. */
function describeHttp(name: string, front: () => Front) {
  test("answers over TLS, with the api's own headers and HSTS", async () => {
    const answer = await ask(front(), "GET", "/health", {});
    expect(answer.status).toBe(200);
    expect(answer.headers).toMatchObject({
      "strict-transport-security": expect.stringContaining("max-age="),
      "x-content-type-options": "nosniff",
      "content-security-policy": expect.any(String),
    });
  });

  test("says where a request comes from, whatever the request says itself", async () => {
    const email = `${name}@example.org`;
    const headers = { "content-type": "application/json", "x-forwarded-for": "203.0.113.9" };
    const body = JSON.stringify({ email, password: "wrong wrong wrong" });
    expect((await ask(front(), "POST", "/api/v1/session", headers, body)).status).toBe(401);
    const db = await openDb(installation.urls().postgresUrl, { max: 1 });
    const [last] = await db.query<{ address: string }>(
      "SELECT host(ip_address) AS address FROM audit.events WHERE event_type = 'login.failed' ORDER BY id DESC LIMIT 1",
    );
    await db.close();
    expect(last?.address).toBe(CLIENT);
  });

  test("lets MQTT over websockets through, and live readings as they come", async () => {
    const device = `${name}-ws`;
    const key = JSON.parse(await installation.sluice("devices", "add", `${name}-reader`, "--json"))
      .apiKey as string;
    expect(key).toBeTruthy();
    await publish(`wss://127.0.0.1:${front().port}/mqtt`, front().ca, device);
    const stored = () => installation.sluice("trace", "--device", device, "--seq", "1", "--json");
    await waitFor(async () => (await stored()).includes('"stored"'), {
      timeoutMs: 30_000,
      what: "the reading",
    });
    const live = await ask(front(), "GET", `/api/v1/live?device=${name}-reader`, { "x-api-key": key });
    expect(live.status).toBe(200);
  });
}

const stream = findBinary("nginx") && existsSync("/usr/lib/nginx/modules/ngx_stream_module.so");
(stream ? describe : describe.skip)(
  "nginx (skipped without the packages nginx and libnginx-mod-stream)",
  () => {
    let mqttsPort = 0;
    const nginx = useServer(async () => {
      const { http, mqtt } = await addresses();
      mqttsPort = await freePort();
      const text = readFileSync(join(DEPLOY, "nginx/sluice.conf"), "utf8")
        .replaceAll(":3001", `:${http}`)
        .replaceAll(":1883", `:${mqtt}`)
        .replaceAll(":9001", `:${wsPort}`)
        .replaceAll("/etc/sluice/tls/server.crt", certificates.certFile)
        .replaceAll("/etc/sluice/tls/server.key", certificates.keyFile)
        .replace("listen 8883", `listen 127.0.0.1:${mqttsPort}`);
      return startNginx({ configuration: (port) => text.replace("listen 443", `listen 127.0.0.1:${port}`) });
    });
    describeHttp("nginx", () => ({ port: nginx.port, ca: certificates.ca }));

    test("ends TLS for MQTT", async () => {
      await publish(`mqtts://127.0.0.1:${mqttsPort}`, certificates.ca, "nginx-tls");
    });
  },
);

(findBinary("caddy") ? describe : describe.skip)("Caddy (skipped without the package caddy)", () => {
  const caddy = useServer(async () => {
    const { http } = await addresses();
    return startCaddy({
      configuration: readFileSync(join(DEPLOY, "caddy/Caddyfile"), "utf8"),
      variables: (port) => ({
        SLUICE_DOMAIN: `https://127.0.0.1:${port}`,
        SLUICE_HTTP: `127.0.0.1:${http}`,
        SLUICE_WS: `127.0.0.1:${wsPort}`,
      }),
    });
  });
  const root = () => readFileSync(join(caddy.dir, "pki/authorities/local/root.crt"), "utf8");
  describeHttp("caddy", () => ({ port: caddy.port, ca: root() }));
});
