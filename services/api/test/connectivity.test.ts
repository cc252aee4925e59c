import { beforeAll, describe, expect, test } from "@jest/globals";
import { getCommand } from "@sluice/db";
import { useApi } from "./use-api.ts";

/** Document B's calls that need no gateway, each as it is written there. */
describe("the connectivity document", () => {
  const it = useApi();
  const as = (key: string) => (line: string, body?: unknown) => {
    const [method = "", path = ""] = line.split(" ");
    return it.call(method, path, body === undefined ? { key } : { key, body });
  };
  let admin: ReturnType<typeof as>;
  let device: ReturnType<typeof as>;
  beforeAll(() => {
    admin = as(it.keys.admin);
    device = as(it.a.apiKey);
  });

  test("POST /api/v1/devices/register: 201, 400, 401, 409", async () => {
    const body = {
      name: "sensor_77",
      device_type: "temperature_sensor",
      user_id: 1,
      firmware_version: "1.2.3",
    };
    const made = await admin("POST /api/v1/devices/register", body);
    expect([made.status, made.json.message]).toEqual([201, "Device registered successfully"]);
    expect(made.json.device).toMatchObject({
      id: "sensor_77",
      status: "active",
      api_key: expect.any(String),
    });
    expect((await admin("POST /api/v1/devices/register", body)).status).toBe(409);
    expect((await admin("POST /api/v1/devices/register", { name: "x y" })).status).toBe(400);
    expect((await it.call("POST", "/api/v1/devices/register", { body })).status).toBe(401);
  });

  test("GET /api/v1/devices/status, /{id}/status, /statuses", async () => {
    const own = await device("GET /api/v1/devices/status");
    expect(own.json).toMatchObject({ status: "success", device: { id: "esp32_001", is_online: false } });
    expect((await device("GET /api/v1/devices/esp32_002/status")).status).toBe(403);
    const { json } = await admin("GET /api/v1/devices/statuses?limit=1&offset=1");
    expect(json).toMatchObject({
      status: "success",
      devices: [{ id: "esp32_002", device_type: "esp32", status: "active", is_online: false }],
      meta: { limit: 1, offset: 1 },
    });
  });

  test("PUT, POST and GET /api/v1/devices/config", async () => {
    const set = { config_key: "sampling_rate", config_value: "30", data_type: "integer" };
    expect((await device("POST /api/v1/devices/config", set)).status).toBe(200);
    expect((await device("POST /api/v1/devices/config", { ...set, config_value: "soon" })).status).toBe(400);
    const { json } = await device("GET /api/v1/devices/config");
    expect(json).toMatchObject({
      status: "success",
      configuration: { sampling_rate: { value: 30, data_type: "integer" } },
      version: 1,
      reported_version: null,
    });
    const put = await device("PUT /api/v1/devices/config", {
      location: "Kitchen",
      firmware_version: "1.3.0",
    });
    expect([put.status, put.json.device.location]).toEqual([200, "Kitchen"]);
  });

  test("GET /api/v1/devices/credentials and /mqtt-credentials tell no secret", async () => {
    const { json, text } = await device("GET /api/v1/devices/mqtt-credentials");
    expect(json.credentials.topics.commands_subscribe).toBe("iotflow/devices/esp32_001/commands/+");
    expect(text).not.toContain(it.a.password);
    expect((await device("GET /api/v1/devices/credentials")).json.device.mqtt_topics.telemetry).toBe(
      "iotflow/devices/esp32_001/telemetry",
    );
  });

  test("GET /api/v1/telemetry/status and /user/{uid}", async () => {
    expect((await it.call("GET", "/api/v1/telemetry/status")).json.status).toBe("healthy");
    const { json } = await device("GET /api/v1/telemetry/user/1?limit=10");
    expect(json).toMatchObject({ status: "success", user_id: "1", telemetry: [], count: 0, limit: 10 });
  });

  test("DELETE /api/v1/telemetry/{id} takes its range from the body, as it is written", async () => {
    const body = { start_time: "2025-07-01T00:00:00Z", stop_time: "2025-07-02T00:00:00Z" };
    const { status, json } = await device("DELETE /api/v1/telemetry/esp32_001", body);
    expect([status, json.device_id, json.start_time]).toEqual([200, "esp32_001", body.start_time]);
    expect((await device("DELETE /api/v1/telemetry/esp32_001")).status).toBe(400);
    expect((await device("DELETE /api/v1/telemetry/esp32_002", body)).status).toBe(403);
  });

  test("the MQTT routes about topics and the broker", async () => {
    expect((await it.call("GET", "/api/v1/mqtt/status")).status).toBe(503); // no gateway runs in this test
    expect((await it.call("GET", "/api/v1/mqtt/topics/structure")).json.base_topic).toBe("iotflow");
    const { json } = await it.call("GET", "/api/v1/mqtt/topics/device/7");
    expect(json.topics.commands[0].path).toBe("iotflow/devices/7/commands/{type}");
    const validate = (topic: string) => it.call("POST", "/api/v1/mqtt/topics/validate", { body: { topic } });
    expect((await validate("iotflow/devices/1/telemetry")).json).toMatchObject({
      is_valid: true,
      parsed: { device_id: "1", topic_type: "telemetry" },
    });
    expect((await validate("other/+")).json).toMatchObject({
      is_valid: false,
      validation_errors: [expect.any(String), expect.any(String)],
    });
    expect((await admin("GET /api/v1/mqtt/monitoring/metrics")).json.metrics.topics.base_topic).toBe(
      "iotflow",
    );
    expect(
      (await admin("POST /api/v1/mqtt/subscribe", { topic: "iotflow/devices/+/telemetry" })).status,
    ).toBe(200);
  });

  test("POST /api/v1/mqtt/device/{id}/command, /fleet/{g}/command and /publish are commands that are kept", async () => {
    const sent = await admin("POST /api/v1/mqtt/device/esp32_001/command", {
      command_type: "control",
      command: "restart",
      qos: 2,
      command_id: "cmd_12345",
      timestamp: "2025-07-02T14:30:00Z",
    });
    expect([sent.status, sent.json.topic]).toEqual([200, "iotflow/devices/esp32_001/commands/control"]);
    const kept = await getCommand(it.db, Number(sent.json.command_id));
    expect(kept).toMatchObject({
      status: "pending",
      payload: { command: "restart", command_id: "cmd_12345" },
    });
    const wrong = { command_type: "other", command: "x" };
    expect((await admin("POST /api/v1/mqtt/device/esp32_001/command", wrong)).status).toBe(400);
    expect(
      (await admin("POST /api/v1/mqtt/device/nobody/command", { ...wrong, command_type: "control" })).status,
    ).toBe(404);
    expect((await device("POST /api/v1/mqtt/device/esp32_001/command", wrong)).status).toBe(403);
    const group = { devices: ["esp32_001", "esp32_002"] };
    expect((await admin("PUT /api/v1/fleet/warehouse", group)).status).toBe(204);
    const fleet = await admin("POST /api/v1/mqtt/fleet/warehouse/command", { command: "update_firmware" });
    expect(fleet.json).toMatchObject({ status: "success", group_id: "warehouse", devices: 2 });
    const publish = (topic: string) =>
      admin("POST /api/v1/mqtt/publish", { topic, payload: { command: "restart" }, qos: 1, retain: true });
    expect((await publish("iotflow/devices/esp32_001/commands")).json).toMatchObject({
      status: "success",
      retain: false,
    });
    expect((await publish("iotflow/devices/esp32_001/telemetry")).status).toBe(403);
    expect((await publish("iotflow/devices/+/commands/x")).status).toBe(400);
  });

  test("commands of our own: list, one, cancel; a device sees its own only", async () => {
    const body = { type: "led", payload: { on: true }, expiresInSeconds: 60 };
    const made = await admin("POST /api/v1/devices/esp32_002/commands", body);
    expect([made.status, made.json.status]).toEqual([202, "pending"]);
    const { id } = made.json;
    expect((await device(`GET /api/v1/commands/${id}`)).status).toBe(403);
    expect((await device("GET /api/v1/devices/esp32_002/commands")).status).toBe(403);
    const { json } = await admin("GET /api/v1/commands?device=esp32_002&limit=1");
    expect(json.commands[0]).toMatchObject({ id, device: "esp32_002", type: "led", status: "pending" });
    expect((await admin(`DELETE /api/v1/commands/${id}`)).status).toBe(204);
    expect((await admin(`DELETE /api/v1/commands/${id}`)).status).toBe(409);
    const config = await admin("PUT /api/v1/devices/esp32_002/config", { led: 1 });
    expect(config.json).toMatchObject({ version: 1, config: { led: 1 }, reportedVersion: null });
    const { events } = (await admin("GET /api/v1/audit?event=command.cancelled")).json;
    expect(events[0].entityId).toBe(String(id));
  });

  test("a device that speaks HTTP only fetches its commands and says what became of them", async () => {
    const made = await admin("POST /api/v1/devices/esp32_001/control", {
      command: "turn_on",
      parameters: { to: 80 },
    });
    expect([made.status, made.json.message]).toEqual([201, "Command sent via MQTT"]);
    const { control_id } = made.json;
    const pending = (await device("GET /api/v1/devices/esp32_001/control/pending")).json;
    expect(pending).toContainEqual(
      expect.objectContaining({ id: control_id, command: "turn_on", parameters: { to: 80 } }),
    );
    const said = await device(`POST /api/v1/devices/esp32_001/control/${control_id}/status`, {
      status: "acknowledged",
    });
    expect(said.json).toEqual({ message: "Status updated" });
    expect((await getCommand(it.db, control_id)).status).toBe("executed");
    await admin("POST /api/v1/devices/esp32_001/control", { command: "turn_off" });
    const taken = await device("GET /api/commands?sensor_id=esp32_001");
    expect(taken.json.commands).toContainEqual(expect.objectContaining({ command: "turn_off" }));
    expect((await device("GET /api/commands?sensor_id=esp32_001")).json.commands).toEqual([]);
  });

  test("the admin routes, with the copies of presence", async () => {
    await it.keyValue.sight([{ device: "esp32_001", atMs: Date.now(), status: "online", heartbeat: true }]);
    const { json } = await admin("GET /api/v1/admin/devices");
    expect(json).toMatchObject({
      status: "success",
      devices: expect.arrayContaining([expect.objectContaining({ device_type: "esp32" })]),
    });
    expect((await admin("GET /api/v1/admin/devices/esp32_001")).json.configurations).toEqual({
      sampling_rate: 30,
    });
    const put = await admin("PUT /api/v1/admin/devices/esp32_002/status", { status: "maintenance" });
    expect(put.json).toMatchObject({ old_status: "active", new_status: "maintenance" });
    expect((await admin("GET /api/v1/admin/stats")).json.device_stats).toMatchObject({
      maintenance: 1,
      online: 0,
    });
    const cache = () => admin("GET /api/v1/admin/cache/device-status");
    expect((await cache()).json.cache_stats).toMatchObject({
      device_status_count: 1,
      redis_version: expect.any(String),
    });
    expect((await admin("DELETE /api/v1/admin/cache/devices/esp32_001")).json.message).toBe(
      "Cache cleared for device esp32_001",
    );
    expect((await cache()).json.cache_stats.device_status_count).toBe(0);
    expect((await admin("DELETE /api/v1/admin/cache/device-status")).status).toBe(200);
    const gone = await admin("DELETE /api/v1/admin/devices/sensor_77");
    expect(gone.json.status).toBe("success");
    expect((await admin("GET /api/v1/admin/devices/sensor_77")).status).toBe(404);
  });
});
