import { beforeAll, expect, test } from "@jest/globals";
import { useApi } from "./use-api.ts";

const it = useApi();
const HOUR_MS = 3_600_000;
const startMs = Math.floor(Date.now() / HOUR_MS - 3) * HOUR_MS;
const RULE = { name: "too warm", sensorType: "temperature", condition: "above", threshold: 30 };

beforeAll(async () => {
  const [sensor] = await it.db.query<{ id: number }>(
    `INSERT INTO iot.sensors (device_id, sensor_code, value_type, calibration_offset)
     SELECT id, 'temperature', 'number', 1 FROM iot.devices WHERE device_code = 'esp32_001' RETURNING id`,
  );
  const values = [20, 29.5, 31, 35, 28, 20, 40];
  await it.db.execute(
    `INSERT INTO measurement (sensor_id, time, value)
     SELECT $1, to_timestamp($2::float8 / 1000) + (n - 1) * INTERVAL '10 min', v FROM unnest($3::float8[]) WITH ORDINALITY x(v, n)`,
    [sensor?.id, startMs, values],
  );
  await it.db.execute(
    `INSERT INTO alert.alerts (device_id, triggered_at, severity, title, message)
     SELECT id, now(), 'critical', 'raised by hand', 'on ' || device_code FROM iot.devices ORDER BY device_code`,
  );
});
const read = (path: string, key = it.keys.read) => it.call("GET", `/api/v1/alerts${path}`, { key });
const write = (method: string, path: string, body?: unknown, key = it.keys.write) =>
  it.call(method, `/api/v1/alerts${path}`, { key, body });

test("a rule is made, read, changed and deleted by who may write, and nobody else", async () => {
  expect((await write("POST", "/rules", RULE, it.keys.read)).status).toBe(403);
  const made = await write("POST", "/rules", { ...RULE, command: { type: "fan_on" } });
  expect(made).toMatchObject({ status: 201, json: { name: "too warm", severity: "warning", version: 1 } });
  const { id } = made.json;
  const escalation = [{ afterMinutes: 5, severity: "emergency" }];
  const changed = await write("PUT", `/rules/${id}`, {
    ...RULE,
    device: "esp32_001",
    severity: "critical",
    escalation,
  });
  expect(changed).toMatchObject({ status: 200, json: { device: "esp32_001", command: null, escalation } });
  expect((await read(`/rules/${id}`)).json).toEqual(changed.json);
  expect((await read("/rules")).json.rules).toHaveLength(1);
  expect((await write("DELETE", `/rules/${id}`)).status).toBe(204);
  expect((await read(`/rules/${id}`)).status).toBe(404);
});

test.each([
  ["no threshold", { threshold: undefined }],
  ["no sensor", { sensorType: undefined }],
  ["an empty range", { condition: "out_of_range", min: 5, max: 5 }],
  ["an unknown condition", { condition: "odd" }],
  ["an unknown field", { treshold: 3 }],
  ["a negative duration", { durationMinutes: -1 }],
])("a rule with %s is refused", async (_what, change) => {
  expect((await write("POST", "/rules", { ...RULE, ...change })).status).toBe(400);
});

test("a rule is tried on the past without being made", async () => {
  const rule = { ...RULE, warningMargin: 1, durationMinutes: 10 };
  const range = { from: new Date(startMs).toISOString(), to: new Date(startMs + HOUR_MS * 2).toISOString() };
  const answer = await write("POST", "/preview", { rule, ...range }, it.keys.read);
  expect(answer).toMatchObject({ status: 200, json: { sensors: 1, readings: 7, cut: false } });
  expect(answer.json.alerts).toMatchObject([
    {
      device: "esp32_001",
      sensor: "temperature",
      preventive: false,
      peak: 36,
      since: new Date(startMs + 600_000).toISOString(),
    },
  ]);
  const offline = { name: "silent", condition: "device_offline", device: "esp32_001", durationMinutes: 30 };
  const silences = await write("POST", "/preview", { rule: offline, ...range }, it.keys.read);
  expect(silences.json.alerts).toMatchObject([{ device: "esp32_001", end: null }]);
  expect((await read("/rules")).json.rules).toEqual([]);
});

test("alerts are listed, acknowledged once and resolved once", async () => {
  const { alerts } = (await read("?state=active")).json;
  expect(alerts).toHaveLength(2);
  const { id } = alerts[0];
  expect((await write("POST", `/${id}/acknowledge`)).json).toMatchObject({ status: "acknowledged" });
  expect((await write("POST", `/${id}/acknowledge`)).status).toBe(409);
  expect((await read("?state=acknowledged")).json.alerts).toHaveLength(1);
  expect((await write("POST", `/${id}/resolve`, { notes: "fan replaced" })).json).toMatchObject({
    notes: "fan replaced",
  });
  expect((await write("POST", `/${id}/dismiss`, {})).status).toBe(409);
  expect((await read("?state=history")).json.alerts).toMatchObject([{ id, status: "resolved" }]);
  expect((await read(`/${id}`)).json).toMatchObject({ id, notifications: [] });
  expect((await read("/999999")).status).toBe(404);
});

test("channels are the administrators'; a target has to fit its kind", async () => {
  const put = (name: string, body: object, key = it.keys.admin) =>
    write("PUT", `/channels/${name}`, body, key);
  expect(
    (await put("hook", { kind: "webhook", target: "https://example.org/hook" }, it.keys.write)).status,
  ).toBe(403);
  const made = await put("hook", { kind: "webhook", target: "https://example.org/hook" });
  expect(made).toMatchObject({ status: 200, json: { secret: expect.stringMatching(/^whsec_/) } });
  const again = await put("hook", { kind: "webhook", target: "https://example.org/other" });
  expect(again.json).toMatchObject({ target: "https://example.org/other" });
  expect(again.json.secret).toBeUndefined();
  const renewed = await write("POST", "/channels/hook/secret", undefined, it.keys.admin);
  expect([renewed.status, renewed.json.secret === made.json.secret]).toEqual([201, false]);
  expect((await write("POST", "/channels/mqtt/secret", undefined, it.keys.admin)).status).toBe(404);
  expect((await put("hook", { kind: "webhook", target: "file:///etc/passwd" })).status).toBe(400);
  expect((await put("mail", { kind: "email", target: "ada@example.org, bob" })).status).toBe(400);
  const { channels } = (await read("/channels", it.keys.admin)).json;
  expect(channels.map(({ name }: { name: string }) => name)).toEqual(["hook", "mqtt"]);
  expect((await write("DELETE", "/channels/hook", undefined, it.keys.admin)).status).toBe(204);
});

test("limits of quality are read and set", async () => {
  const limits = {
    min: 0,
    max: 14,
    spike: 1,
    ratePerMinute: null,
    flatCount: null,
    flatMinutes: 0,
    gapSeconds: 60,
  };
  const path = "/api/v1/quality/thresholds";
  expect((await it.call("PUT", `${path}/ph`, { key: it.keys.write, body: limits })).status).toBe(200);
  const { thresholds } = (await it.call("GET", path, { key: it.keys.read })).json;
  expect(thresholds).toContainEqual({ sensorType: "ph", ...limits });
  const wrong = await it.call("PUT", `${path}/ph`, { key: it.keys.write, body: { ...limits, min: 15 } });
  expect(wrong.status).toBe(400);
});

test("document A's /api/rules[/id], /api/notifications and /api/escalation speak in columns of its tables", async () => {
  const call = (method: string, path: string, body?: unknown, key = it.keys.write) =>
    it.call(method, path, { key, body });
  const columns = {
    name: "too warm",
    sensor_type: "temperature",
    condition_type: "out_of_range",
    threshold_min: 18,
    threshold_max: 30.5,
    warning_margin: 2,
    duration_minutes: 5,
    severity: "critical",
    is_active: true,
  };
  expect((await call("POST", "/api/rules", columns, it.keys.read)).status).toBe(403);
  const made = await call("POST", "/api/rules", columns);
  expect(made).toMatchObject({ status: 201, json: { ...columns, facility_id: 1 } });
  const path = `/api/rules/${made.json.id}`;
  const changed = await call("PUT", path, { severity: "warning", condition_type: "above", threshold: 31 });
  expect(changed).toMatchObject({
    status: 200,
    json: { ...columns, severity: "warning", threshold: 31, condition_type: "above" },
  });
  expect((await read(`/rules/${made.json.id}`)).json).toMatchObject({
    warningMargin: 2,
    threshold: 31,
    severity: "warning",
  });
  expect((await call("GET", "/api/rules")).json).toMatchObject({ count: 1, rules: [changed.json] });
  const wrong = await call("PUT", path, { condition_type: "out_of_range", threshold_min: 40 });
  expect(wrong).toMatchObject({
    status: 400,
    json: {
      errors: [{ field: "threshold_min", message: "is below max; both are needed for this condition" }],
    },
  });
  expect((await call("POST", "/api/rules", { ...columns, config: {} })).status).toBe(400);

  const [alert] = await it.db.query<{ id: number }>("SELECT id FROM alert.alerts ORDER BY id LIMIT 1");
  await it.db.execute(
    `INSERT INTO alert.notification_log (alert_id, channel_id, event, dedupe_key, status, last_error)
     SELECT $1, id, 'raised', 'k', 'failed', 'nobody there' FROM alert.channels WHERE name = 'mqtt'`,
    [alert?.id],
  );
  const told = {
    alert_id: alert?.id,
    channel: "mqtt",
    event: "raised",
    status: "failed",
    error_message: "nobody there",
  };
  expect((await call("GET", "/api/notifications?limit=5")).json).toMatchObject({
    count: 1,
    notifications: [told],
  });
  const { escalation } = (await call("GET", "/api/escalation")).json;
  expect(escalation).toEqual([
    { rule_id: null, level: 1, after_minutes: 5, severity: "warning" },
    { rule_id: null, level: 2, after_minutes: 10, severity: "critical" },
    { rule_id: null, level: 3, after_minutes: 15, severity: "emergency" },
  ]);
  expect((await call("DELETE", path)).json).toEqual({ status: "deleted", id: made.json.id });
  expect((await call("GET", path)).status).toBe(404);
});
