import { createTopics, type NewDevice } from "@sluice/shared-types";
import { SERVICES } from "../service-list.ts";
import type { State } from "../state.ts";
import type { FirstAdmin } from "./first-admin.ts";

/** The short screen after a start: what runs where, the new device, a line to paste. */
export function welcome(
  state: State,
  dataDir: string,
  device: NewDevice | undefined,
  admin: FirstAdmin | undefined,
): string {
  const entrance = state.services.some(({ name }) =>
    SERVICES.some((spec) => spec.entrance && spec.name === name),
  );
  const api = state.services.some(({ name }) => name === "api");
  const rows: [string, string][] = entrance
    ? [
        ["MQTT", state.mqttUrl],
        ["HTTP", state.httpUrl],
      ]
    : [];
  rows.push(["PostgreSQL", withoutSecrets(state.postgresUrl)], ["Redis", withoutSecrets(state.redisUrl)]);
  if (state.influx !== null) rows.push(["InfluxDB", withoutSecrets(state.influx.url)]);
  rows.push(["data", dataDir]);
  if (api) rows.unshift(["Console", `${state.httpUrl}/console/`]);
  const lines = ["", "Sluice is up.", "", ...rows.map(([name, value]) => `  ${name.padEnd(11)}${value}`), ""];
  lines.push(...(device === undefined ? noDevice() : newDevice(state, device)));
  if (admin !== undefined) {
    lines.push(
      "You, as admin of console and API (shown this once; ./sluice users password makes a new one):",
      "",
      `  email ${admin.email}   password ${admin.password}`,
      "",
    );
  }
  if (api) lines.push(...endpoints(state));
  lines.push("Then: ./sluice tail · status · lag · ledger · --help. Ctrl-C stops everything.", "");
  return lines.join("\n");
}

/** What answers where, and whether BI jobs run by themselves. */
function endpoints({ httpUrl, services }: State): string[] {
  const scheduler = services.some(({ name }) => name === "etl-scheduler");
  return [
    `API: ${httpUrl}/docs`,
    "  POST   /api/v1/devices/telemetry, /api/v1/ingest, /api/data   - readings (key of a device)",
    "  GET    /api/v1/devices, /api/v1/series, /api/v1/live          - devices, charts, live readings",
    "  GET    /api/v1/lag, /api/v1/ledger, /api/v1/quarantine        - how the path runs",
    "ETL (InfluxDB -> PostgreSQL):",
    "  GET    /api/etl/status           - ETL status & watermarks",
    "  POST   /api/etl/run              - Manual ETL trigger (API key required)",
    `  -> Background scheduler ${scheduler ? "RUNNING" : "STOPPED"}`,
    "",
  ];
}

function newDevice(state: State, device: NewDevice): string[] {
  const url = new URL(state.mqttUrl);
  const topic = createTopics(state.topicRoot).telemetry(device.id, "environmental");
  const payload = '{"temperature": 22.5, "humidity": 61, "light_level": 540}';
  return [
    "A device to begin with (shown this once; ./sluice devices rotate makes new secrets):",
    "",
    `  id ${device.id}   username ${device.username}   password ${device.password}`,
    `  api key ${device.apiKey}`,
    "",
    "Paste this to send a reading:",
    "",
    `mosquitto_pub -h ${url.hostname} -p ${url.port} -i ${device.id} -u ${device.username} -P ${device.password} -q 1 -t ${topic} -m '${payload}'`,
    "",
  ];
}

function noDevice(): string[] {
  return ["Devices: ./sluice devices list; a new one: ./sluice devices add ID", ""];
}

/** A url as it may be shown. */
export function withoutSecrets(url: string): string {
  return url.replace(/\/\/([^:@/]*)(:[^@/]*)?@/, (_, user: string) => (user === "" ? "//" : `//${user}@`));
}
