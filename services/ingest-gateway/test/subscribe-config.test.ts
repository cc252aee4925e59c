import { describe, expect, test } from "@jest/globals";
import { loadConfig } from "@sluice/service-kit";
import { Config } from "../src/config.ts";

const good = {
  REDIS_URL: "redis://127.0.0.1:1",
  DATABASE_URL: "postgres://h/d",
  SLUICE_PEPPER: "0123456789abcdef",
  MQTT_URL: "mqtts://user:p%40ss@broker:8883",
};

describe("configuration of the subscriber", () => {
  test("has a persistent session at QoS 1 under a fixed client id by default", () => {
    expect(loadConfig(Config, good)).toMatchObject({
      SLUICE_MQTT_CLIENT_ID: "sluice-gateway",
      SLUICE_MQTT_CONNECTIONS: 4,
      SLUICE_MQTT_SHARED: "auto",
      SLUICE_MQTT_TRUST: "broker",
    });
  });

  test.each([
    ["SLUICE_MQTT_QOS", "0", "with QoS 0 the broker forgets"],
    ["SLUICE_MQTT_CLEAN", "true", "with a clean session the broker forgets"],
    ["SLUICE_MQTT_CLIENT_ID", "mqttjs_8a7b6c5d", "stays the same at every start"],
    ["SLUICE_MQTT_CLIENT_ID", "gateway-random", "stays the same at every start"],
    ["SLUICE_MQTT_CLIENT_ID", "0c8f7c3e-5b0a-4c2e-9d64-2f6f1a0c9b11", "stays the same at every start"],
    ["SLUICE_MQTT_CLIENT_ID", "a/b", "is 1-48 letters"],
    ["SLUICE_MQTT_CONNECTIONS", "33", "from 0 to 32"],
    ["MQTT_URL", "mqtt://broker?clean=true", "carries no options"],
    ["MQTT_URL", "http://broker", "starts with mqtt://"],
  ])("refuses %s=%s", (name, value, why) => {
    expect(() => loadConfig(Config, { ...good, [name]: value })).toThrow(why);
  });
});
