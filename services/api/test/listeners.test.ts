import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { useApi } from "./use-api.ts";

const dir = mkdtempSync(join(tmpdir(), "sluice api-"));
const [certFile, keyFile] = [join(dir, "cert.pem"), join(dir, "key.pem")];
const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"];
execFileSync(
  "openssl",
  ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-out", certFile, "-keyout", keyFile, ...subject],
  {
    stdio: "ignore",
  },
);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const it = useApi(() => ({
  SLUICE_EXTRA_PORTS: "0,0",
  SLUICE_API_HTTPS_PORT: "0",
  SLUICE_TLS_CERT: certFile,
  SLUICE_TLS_KEY: keyFile,
  // nobody listens there
  DATABASE_READ_URL: "postgresql://nobody:nothing@127.0.0.1:1/none",
}));

test("the documents' ports and HTTPS answer as the first one does", async () => {
  expect(it.server.extraPorts).toHaveLength(2);
  for (const port of it.server.extraPorts) {
    expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
    expect((await fetch(`http://127.0.0.1:${port}/api/v1/lag`)).status).toBe(401);
  }
  const status = await new Promise((resolve, reject) => {
    const options = {
      port: it.server.httpsPort,
      host: "127.0.0.1",
      path: "/health",
      servername: "localhost",
    };
    request({ ...options, ca: readFileSync(certFile) }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    })
      .on("error", reject)
      .end();
  });
  expect(status).toBe(200);
});

test("what changes seldom is not sent again to who has it", async () => {
  const path = "/api/v1/sensor-types";
  const first = await it.call("GET", path, { key: it.keys.read });
  const etag = first.headers.get("etag") ?? "";
  expect(etag).toMatch(/^"[\w-]{27}"$/);
  const again = (value: string) =>
    it.call("GET", path, { key: it.keys.read, headers: { "if-none-match": value } });
  expect([(await again(etag)).status, (await again(etag)).text]).toEqual([304, ""]);
  expect((await again('"other"')).status).toBe(200);
  await it.call("PUT", `${path}/NEW`, { key: it.keys.write, body: { unit: "x" } });
  expect((await again(etag)).status).toBe(200);
});

test("charts are read from the primary while the replica does not answer", async () => {
  await it.db.query(
    `WITH s AS (INSERT INTO iot.sensors (device_id, sensor_code, value_type)
                SELECT id, 'flow', 'number' FROM iot.devices WHERE device_code = 'esp32_001' RETURNING id)
     INSERT INTO public.measurement (time, sensor_id, value) SELECT now() - INTERVAL '1 minute', id, 7 FROM s`,
  );
  const { json } = await it.call("GET", "/api/v1/series?sensor=esp32_001/flow&resolution=raw", {
    key: it.a.apiKey,
  });
  expect(json.points.map(({ value }: { value: number }) => value)).toEqual([7]);
});
