import type { Credentials } from "../../api/types/device.ts";
import type { Installation } from "../../api/types/flow.ts";

/** How a device is connected, ready to paste. */
export interface ConnectLines {
  mqtt: string;
  http: string;
  sketch: string;
}

const READINGS = '{"temperature": 22.5, "humidity": 61}';

/** Lines for a device of this installation, seen from where the browser reached it. */
export function connectLines(
  device: string,
  { username, password, apiKey }: Credentials,
  { mqttPort, topicRoot }: Installation,
  place: { hostname: string; origin: string },
): ConnectLines {
  const topic = `${topicRoot}/devices/${device}/telemetry/environmental`;
  return {
    mqtt: `mosquitto_pub -h ${place.hostname} -p ${mqttPort} -i ${device} -u ${username} -P ${password} -q 1 -t ${topic} -m '${READINGS}'`,
    http: `curl -X POST ${place.origin}/api/v1/devices/telemetry -H 'X-API-Key: ${apiKey}' -H 'Content-Type: application/json' -d '{"data": ${READINGS}}'`,
    sketch: sketch(topic, device, username, password, place.hostname, mqttPort),
  };
}

/** The least that sends; docs/esp32.md has the library that loses no sample. */
const sketch = (
  topic: string,
  device: string,
  username: string,
  password: string,
  host: string,
  port: number,
) => `#include <WiFi.h>
#include <PubSubClient.h>  // library manager: PubSubClient 2.8

WiFiClient network;
PubSubClient client(network);
uint32_t boot, seq = 0;

void setup() {
  boot = esp_random();     // another one at every start
  WiFi.begin("your-wifi", "your-wifi-password");
  client.setServer("${host}", ${port});
  client.setBufferSize(1024);
}

void loop() {
  if (!client.connected())
    client.connect("${device}", "${username}", "${password}");
  client.loop();
  char json[160];          // boot and seq: sent again is stored once
  snprintf(json, sizeof json,
           "{\\"boot\\":\\"%08x\\",\\"seq\\":%u,\\"temperature\\":%.1f}",
           boot, ++seq, temperatureRead());
  client.publish("${topic}", json);
  delay(10000);
}`;
