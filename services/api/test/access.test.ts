import { describe, expect, test } from "@jest/globals";
import { createApiKey, disableDevice, revokeApiKey, rotateDevice } from "@sluice/db";
import { waitFor } from "@sluice/testkit";
import { SignJWT } from "jose";
import { PASSWORD, PEPPER, useApi } from "./use-api.ts";

const PUBLIC = new Set([
  "/",
  "/health",
  "/status",
  "/api/health",
  "/api/docs",
  "/api/openapi.json",
  "/api/etl/status",
  "/api/v1/now",
  "/api/v1/influxdb/health",
  "/api/v1/session",
  // document B: how it is, and what topics there are
  "/api/v1/telemetry/status",
  "/api/v1/mqtt/status",
  "/api/v1/mqtt/topics/structure",
  "/api/v1/mqtt/topics/device/:id",
  "/api/v1/mqtt/topics/validate",
  // documents C and E: whether it works
  "/api/status",
  "/api/v1/status",
  "/api/v1/models/status",
  // pages and scripts without data: what they show, they ask for with a session
  "/console",
  "/console/",
  "/console/*",
]);
/** Taken by the gateway, which asks for the device's key itself. */
const GATEWAY = new Set([
  "/api/v1/ingest",
  "/api/v1/devices/telemetry",
  "/api/v1/telemetry",
  "/api/v1/mqtt/telemetry/:id",
  "/api/data",
  "/api/v1/influxdb/telemetry",
  "/api/v1/influxdb/telemetry/batch",
]);

describe("who may do what", () => {
  const it = useApi();
  const fill = (url: string) => url.replace(":id", "1").replace(/:\w+/g, "x").replace("*", "x");
  const login = async (email: string, password = PASSWORD) =>
    it.call("POST", "/api/v1/session", { body: { email, password } });

  test("every route is refused without a key, but for the public ones", async () => {
    const wrong: string[] = [];
    for (const { method, url, access } of it.server.routes) {
      if (url.startsWith("/docs") || GATEWAY.has(url)) continue;
      if (access === "public") {
        if (!PUBLIC.has(url)) wrong.push(`${method} ${url} is public`);
        continue;
      }
      const body = method === "GET" || method === "DELETE" ? {} : { body: {} };
      const { status, json } = await it.call(method, fill(url), body);
      if (status !== 401 || typeof json.error !== "string" || typeof json.message !== "string")
        wrong.push(`${method} ${url} ${status}`);
    }
    expect(wrong).toEqual([]);
    expect(it.server.routes.length).toBeGreaterThan(40);
  });

  test("a key may do what its scope says and no more", async () => {
    const wrong: string[] = [];
    const rank = { device: 0, read: 1, write: 2, admin: 3 };
    for (const { method, url, access } of it.server.routes) {
      if (access === "public" || access === "device") continue;
      for (const [scope, key] of [...Object.entries(it.keys), ["device", it.a.apiKey] as const]) {
        if (rank[scope as keyof typeof rank] >= rank[access]) continue;
        const body = method === "GET" || method === "DELETE" ? {} : { body: {} };
        const { status } = await it.call(method, fill(url), { key, ...body });
        if (status !== 403) wrong.push(`${method} ${url} with ${scope}: ${status}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test.each([
    ["an empty key", { "x-api-key": "" }],
    ["Bearer without a key", { authorization: "Bearer " }],
    ["a key of nobody", { "x-api-key": "slk_nobody" }],
    ["a prefix of a key", { "x-api-key": "sla_" }],
    ["a very long key", { "x-api-key": "x".repeat(5000) }],
  ])("%s is refused alike", async (_name, headers) => {
    const { status, json } = await it.call("GET", "/api/v1/lag", { headers });
    expect([status, json.error]).toEqual([401, "Unauthorized - invalid or missing API key"]);
  });

  test("a key in the URL, or two keys, are refused although they are right", async () => {
    expect((await it.call("GET", `/api/v1/lag?api_key=${it.keys.read}`)).status).toBe(401);
    const both = { "x-api-key": it.keys.read, authorization: `Bearer ${it.keys.read}` };
    expect((await it.call("GET", "/api/v1/lag", { headers: both })).status).toBe(401);
    expect((await it.call("GET", "/api/v1/lag", { key: it.keys.read })).status).toBe(200);
  });

  test("a device sees itself and no other, in lists as well", async () => {
    const key = it.a.apiKey;
    expect((await it.call("GET", "/api/v1/devices/esp32_001", { key })).status).toBe(200);
    expect((await it.call("GET", "/api/v1/devices/esp32_002", { key })).status).toBe(403);
    expect((await it.call("GET", "/api/v1/devices/nobody", { key })).status).toBe(403);
    const { json } = await it.call("GET", "/api/v1/devices", { key });
    expect(json.devices.map(({ id }: { id: string }) => id)).toEqual(["esp32_001"]);
    for (const path of ["data", "latest"]) {
      const answer = await it.call("GET", `/api/v1/influxdb/device/esp32_002/${path}`, { key });
      expect(answer.status).toBe(403);
    }
    expect((await it.call("DELETE", "/api/v1/influxdb/device/esp32_002/data", { key })).status).toBe(403);
    expect((await it.call("GET", "/api/v1/series?sensor=esp32_002/temperature", { key })).status).toBe(404);
  });

  test("no route shows a device what another has, by whatever name it asks", async () => {
    const [sensor] = await it.db.query<{ id: number }>(
      `WITH s AS (INSERT INTO iot.sensors (device_id, sensor_code, value_type)
         SELECT id, 'secretive', 'number' FROM iot.devices WHERE device_code = 'esp32_002' RETURNING id)
       INSERT INTO public.measurement (time, sensor_id, value) SELECT now(), id, 424242.5 FROM s RETURNING sensor_id AS id`,
    );
    const path = "/api/v1/devices/esp32_002/commands";
    const order = { type: "secretive", payload: {} };
    const command = (await it.call("POST", path, { key: it.keys.write, body: order })).json;
    const ids = ["esp32_002", String(sensor?.id), String(command.id)];
    const queries = [
      "",
      ...["device=esp32_002", "sensor_id=esp32_002", "device_id=esp32_002", "node_id=esp32_002"],
    ];
    queries.push(`sensor=${sensor?.id}`, "sensor=esp32_002/secretive", "device=esp32_002&field=secretive");
    const shown: string[] = [];
    for (const { method, url, access } of it.server.routes) {
      if (access !== "device" || method !== "GET" || url.endsWith("/live")) continue;
      for (const id of url.includes(":") ? ids : [""]) {
        for (const query of url.includes(":") ? [""] : queries) {
          const target = `${url.replace(/:\w+/g, id)}?${query}`;
          const { status, text } = await it.call(method, target, { key: it.a.apiKey });
          // a refusal may say the name again that was asked for
          if (/424242/.test(text) || (status < 400 && /secretive/.test(text.replaceAll(query, ""))))
            shown.push(`${target}: ${status} ${text.slice(0, 200)}`);
          if (status >= 500 && !url.includes("influxdb")) shown.push(`${target}: ${status}`);
        }
      }
    }
    expect(shown).toEqual([]);
    const reads = { key: it.keys.read };
    expect((await it.call("GET", `/api/v1/series?sensor=${sensor?.id}`, reads)).text).toContain("424242.5");
  });

  test("a revoked, an expired and a disabled key stop working; a rotated one works through its overlap", async () => {
    const made = await createApiKey(it.db, PEPPER, { name: "short", scopes: ["read"] });
    expect((await it.call("GET", "/api/v1/lag", { key: made.key })).status).toBe(200);
    await revokeApiKey(it.db, made.id);
    await waitFor(async () => (await it.call("GET", "/api/v1/lag", { key: made.key })).status === 401, {
      timeoutMs: 10_000,
    });
    const old = await createApiKey(it.db, PEPPER, {
      name: "old",
      scopes: ["read"],
      expiresAt: new Date(Date.now() - 1),
    });
    expect((await it.call("GET", "/api/v1/lag", { key: old.key })).status).toBe(401);
    const fresh = await rotateDevice(it.db, PEPPER, "esp32_002", { overlapMs: 60_000 });
    for (const key of [it.b.apiKey, fresh.apiKey]) {
      expect((await it.call("GET", "/api/v1/devices/esp32_002", { key })).status).toBe(200);
    }
    await disableDevice(it.db, "esp32_002");
    await waitFor(
      async () => (await it.call("GET", "/api/v1/devices/esp32_002", { key: fresh.apiKey })).status === 403,
      {
        timeoutMs: 10_000,
      },
    );
  });

  test("a person logs in, and changes need the token that the login gave", async () => {
    const { status, json, headers } = await login("ADMIN@example.org");
    expect(status).toBe(200);
    const cookie = headers.get("set-cookie") ?? "";
    expect(cookie).toMatch(/HttpOnly/);
    expect(cookie).toMatch(/SameSite=Strict/);
    const sent = { cookie: cookie.split(";")[0] ?? "" };
    expect((await it.call("GET", "/api/v1/users", { headers: sent })).status).toBe(200);
    const body = { name: "from the console", scopes: ["read"] };
    expect((await it.call("POST", "/api/v1/keys", { headers: sent, body })).status).toBe(403);
    const good = { ...sent, "x-csrf-token": json.csrf as string };
    const foreign = { ...good, origin: "https://evil.example" };
    expect((await it.call("POST", "/api/v1/keys", { headers: foreign, body })).status).toBe(403);
    const made = await it.call("POST", "/api/v1/keys", { headers: { ...good, origin: it.url }, body });
    expect(made.status).toBe(201);
    expect(made.json.key).toMatch(/^sla_[A-Za-z0-9]{43}$/);
    const audit = await it.call("GET", "/api/v1/audit?event=key.created&limit=1", { headers: sent });
    expect(audit.json.events[0]).toMatchObject({
      email: "admin@example.org",
      entityId: String(made.json.id),
    });
    expect(audit.text).not.toContain(made.json.key);
    expect((await it.call("DELETE", "/api/v1/session", { headers: good })).status).toBe(204);
    await waitFor(async () => (await it.call("GET", "/api/v1/users", { headers: sent })).status === 401, {
      timeoutMs: 10_000,
    });
  });

  test("forged, foreign and unsigned tokens are refused", async () => {
    const { json } = await login("viewer@example.org");
    const token = json.token as string;
    const bearer = (t: string) =>
      it.call("GET", "/api/v1/lag", { headers: { authorization: `Bearer ${t}` } });
    expect((await bearer(token)).status).toBe(200);
    const [head = "", claims = "", signature = ""] = token.split(".");
    const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString("base64url");
    const other = await new SignJWT({ ver: 1, csrf: "x" })
      .setProtectedHeader({ alg: "HS256" })
      .setSubject("1")
      .setIssuer("sluice")
      .setAudience("sluice-api")
      .setIssuedAt()
      .setExpirationTime("1h")
      .sign(Buffer.from("another key another key another key"));
    const tampered = Buffer.from(claims, "base64url").toString().replace('"sub":"2"', '"sub":"1"');
    for (const forged of [
      `${none}.${claims}.`,
      `${none}.${claims}.${signature}`,
      `${head}.${Buffer.from(tampered).toString("base64url")}.${signature}`,
      other,
    ]) {
      expect((await bearer(forged)).status).toBe(401);
    }
  });

  test("whoever guesses a password is slowed down, and the right one does not help then", async () => {
    const statuses: number[] = [];
    for (let i = 0; i < 7; i++) statuses.push((await login("viewer@example.org", `wrong ${i}`)).status);
    expect(statuses.slice(0, 5)).toEqual([401, 401, 401, 401, 401]);
    expect(statuses.at(-1)).toBe(429);
    const answer = await login("viewer@example.org");
    expect(answer.status).toBe(429);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
  });

  test("who comes through the front of this machine is known by the address that the front saw", async () => {
    const from = (forwarded: string) =>
      it.call("POST", "/api/v1/session", {
        body: { email: "viewer@example.org", password: PASSWORD },
        headers: { "x-forwarded-for": forwarded },
      });
    // What a client claims itself stands further left, and counts for nothing.
    expect((await from("127.0.0.1, 203.0.113.7")).status).toBe(200);
    const [login] = await it.db.query<{ address: string }>(
      "SELECT host(ip_address) AS address FROM audit.events WHERE event_type = 'login' ORDER BY id DESC LIMIT 1",
    );
    expect(login?.address).toBe("203.0.113.7");
  });
});
