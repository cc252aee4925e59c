import { listTotals } from "@sluice/db";
import { createTopics, DEVICE_ID, InvalidInputError, parseTopic } from "@sluice/shared-types";
import { z } from "zod";
import type { Deps } from "../../deps.ts";
import { Refusal } from "../../refusal.ts";
import { DeviceParams } from "../../schemas.ts";
import type { App } from "../../server.ts";
import { CommandPayload, CommandType, createSendCommand } from "../commands.ts";

const PUBLIC = { access: "public" as const };
const write = { access: "write" as const };
const Qos = z.int().min(0).max(2).default(1);
const Publish = z.object({
  topic: z.string().min(1).max(65_535),
  payload: z.union([CommandPayload, z.string().max(32_768)]),
  qos: Qos,
  retain: z.boolean().default(false),
});
const Subscribe = z.object({ topic: z.string().min(1).max(65_535), qos: Qos });
const about = {
  command: z.union([z.string().min(1).max(200), CommandPayload]),
  parameters: CommandPayload.optional(),
  qos: Qos.default(2),
  command_id: z.union([z.string().max(100), z.number()]).optional(),
  timestamp: z.union([z.string().max(40), z.number()]).optional(),
};
const DeviceCommand = z.object({ command_type: z.enum(["config", "control", "firmware"]), ...about });
const FleetCommand = z.object({ command_type: CommandType.default("control"), ...about });
const GroupParams = z.object({ group: z.string().regex(DEVICE_ID, "1-64 letters, digits, '_' or '-'") });

/** One kind of topic, as document B lists it. */
interface TopicLine {
  name: string;
  kind: "telemetry" | "status" | "commands" | "config" | "answers";
  path: string;
  qos: number;
  retain: boolean;
  description: string;
}

/** Document B's routes of MQTT: topics, commands, and how the broker is. */
export function addMqttRoutes(app: App, deps: Deps): void {
  addTopicRoutes(app, deps);
  addPublishRoutes(app, deps);
  addStateRoutes(app, deps);
}

function linesOf(root: string, id: string): TopicLine[] {
  const topics = createTopics(root);
  const line = (
    name: string,
    kind: TopicLine["kind"],
    path: string,
    description: string,
    qos = 1,
    retain = false,
  ) => ({ name, kind, path, qos, retain, description });
  return [
    line("device_telemetry", "telemetry", topics.telemetry(id), "Readings"),
    line("device_telemetry_type", "telemetry", topics.telemetry(id, "{type}"), "Readings of a type"),
    line("device_status", "status", topics.status(id, "{type}"), "online, offline, heartbeat and others"),
    line("device_lwt", "status", topics.lwt(id), "Last will"),
    line("device_commands", "commands", topics.command(id, "{type}"), "Commands; never kept for later"),
    line("device_command_result", "commands", `${topics.command(id, "{type}")}/result`, "What became of one"),
    line("device_config", "config", topics.config(id), "What it shall be set to", 1, true),
    line("device_ack", "answers", topics.ack(id), "What was accepted, by seq"),
    line("device_rejected", "answers", topics.rejected(id), "What was refused, and why"),
  ];
}

function addTopicRoutes(app: App, { config }: Deps): void {
  const root = config.SLUICE_TOPIC_ROOT;
  const { incoming } = createTopics(root);
  app.get("/api/v1/mqtt/topics/structure", { config: { ...PUBLIC, seldom: true } }, async () => {
    const lines = linesOf(root, "{device_id}");
    return {
      status: "success",
      base_topic: root,
      wildcard_patterns: incoming,
      topic_structures: Object.fromEntries(
        lines.map(({ name, path, kind, qos, retain, description }) => [
          name,
          {
            base_path: path.slice(root.length + 1),
            topic_type: kind,
            qos,
            retain,
            description,
            full_topic_example: path,
          },
        ]),
      ),
      total_structures: lines.length,
    };
  });
  app.get(
    "/api/v1/mqtt/topics/device/:id",
    { config: PUBLIC, schema: { params: DeviceParams } },
    async (request) => {
      const { id } = request.params;
      const lines = linesOf(root, id);
      const topics: Record<string, Omit<TopicLine, "kind">[]> = {};
      for (const { kind, ...line } of lines) topics[kind] = [...(topics[kind] ?? []), line];
      return { status: "success", device_id: id, topics, total_topics: lines.length };
    },
  );
  const Topic = z.object({ topic: z.string() });
  app.post("/api/v1/mqtt/topics/validate", { config: PUBLIC, schema: { body: Topic } }, async (request) => {
    const { topic } = request.body;
    const errors = faultsOf(topic, root);
    const is_valid = errors.length === 0;
    const rest = is_valid ? { parsed: parsedOf(topic, root) } : { parsed: null, validation_errors: errors };
    return { status: "success", topic, is_valid, valid: is_valid, ...rest };
  });
}

function faultsOf(topic: string, root: string): string[] {
  const faults: string[] = [];
  if (!topic.startsWith(`${root}/`)) faults.push(`Topic must start with '${root}/'`);
  if (Buffer.byteLength(topic) > 65_535) faults.push("Topic too long (max 65535 bytes)");
  for (const sign of ["+", "#", "\u0000"])
    if (topic.includes(sign)) faults.push(`Invalid character: '${sign}'`);
  return faults;
}

/** What the topic means to the gateway; null where it means nothing. */
function parsedOf(topic: string, root: string) {
  try {
    const meaning = parseTopic(topic, root);
    const device = "device" in meaning ? { device_id: meaning.device } : { group: meaning.group };
    return { ...device, topic_type: meaning.kind, ...("type" in meaning ? { sub_type: meaning.type } : {}) };
  } catch (error) {
    if (error instanceof InvalidInputError) return null;
    throw error;
  }
}

function addPublishRoutes(app: App, deps: Deps): void {
  const root = deps.config.SLUICE_TOPIC_ROOT;
  const topics = createTopics(root);
  const send = createSendCommand(deps);
  // Only what goes to devices may be published: in a device's name, only the device itself speaks.
  app.post("/api/v1/mqtt/publish", { config: write, schema: { body: Publish } }, async (request) => {
    const { topic, payload, qos, retain } = request.body;
    const [fault] = faultsOf(topic, root);
    if (fault !== undefined) throw new Refusal(400, fault, { error: "Invalid topic format", topic });
    const body = typeof payload === "string" ? { value: payload } : payload;
    const target = targetOf(topic, root);
    if (!target) throw new Refusal(403, "only commands to devices and groups may be published", { topic });
    const command =
      "group" in target
        ? (await send.toFleet(request, target.group, { type: target.type, payload: body }))[0]
        : await send.toDevice(request, target.device, { type: target.type, payload: body });
    const message = "Message published successfully";
    // A command is never kept by a broker: it would be carried out again at every reconnect.
    const asked = retain ? { retain_requested: true } : {};
    return {
      status: "success",
      message,
      topic,
      qos,
      retain: false,
      ...asked,
      command_id: command?.wireId ?? null,
    };
  });
  app.post(
    "/api/v1/mqtt/subscribe",
    { config: { access: "admin" }, schema: { body: Subscribe } },
    async (request) => {
      const { topic, qos } = request.body;
      if (!topic.startsWith(`${root}/`))
        throw new Refusal(400, `the server follows topics under '${root}/'; others are SLUICE_TOPIC_MAPS`, {
          error: "Invalid topic format",
          topic,
        });
      const note = "the gateway follows every topic of devices already";
      return { status: "success", message: "Subscribed successfully", topic, qos, note };
    },
  );
  const payloadOf = ({ command, parameters, command_id, timestamp }: z.output<typeof FleetCommand>) => ({
    command,
    ...(parameters === undefined ? {} : { parameters }),
    ...(command_id === undefined ? {} : { command_id }),
    timestamp: timestamp ?? new Date().toISOString(),
    source: "iotflow_api",
  });
  app.post(
    "/api/v1/mqtt/device/:id/command",
    { config: write, schema: { params: DeviceParams, body: DeviceCommand } },
    async (request) => {
      const { id } = request.params;
      const { command_type, qos } = request.body;
      const wanted = { type: command_type, payload: payloadOf(request.body) };
      const { wireId, status } = await send.toDevice(request, id, wanted);
      const topic = topics.command(id, command_type);
      const message = "Command sent successfully";
      const sent = { command_id: wireId, command_status: status };
      return { status: "success", message, device_id: id, command_type, topic, qos, ...sent };
    },
  );
  app.post(
    "/api/v1/mqtt/fleet/:group/command",
    { config: write, schema: { params: GroupParams, body: FleetCommand } },
    async (request) => {
      const { group } = request.params;
      const { command_type, qos } = request.body;
      const payload = { ...payloadOf(request.body), group_id: group };
      const parts = await send.toFleet(request, group, { type: command_type, payload });
      const message = "Fleet command sent successfully";
      const topic = topics.fleetCommand(group);
      const sent = { devices: parts.length, command_id: parts[0]?.wireId ?? null };
      return { status: "success", message, group_id: group, topic, qos, ...sent };
    },
  );
}

/** Whom a topic to publish to reaches. Document B also writes it without a type. */
function targetOf(topic: string, root: string) {
  const [area, second, third, fourth, ...more] = topic.slice(root.length + 1).split("/");
  if (
    more.length > 0 ||
    second === undefined ||
    !DEVICE_ID.test(second === "commands" ? (third ?? "") : second)
  )
    return undefined;
  if (area === "devices" && third === "commands") {
    const type = CommandType.safeParse(fourth ?? "control");
    return type.success ? { device: second, type: type.data } : undefined;
  }
  const fleet = area === "fleet" && second === "commands" && third !== undefined && fourth === undefined;
  return fleet ? { group: third, type: "control" } : undefined;
}

function addStateRoutes(app: App, { config, db }: Deps): void {
  const state = async () => {
    const url = config.SLUICE_GATEWAY_URL;
    const connected =
      url !== undefined &&
      (await fetch(new URL("/health", url), { signal: AbortSignal.timeout(1500) }).then(
        (answer) => answer.body?.cancel().then(() => true) ?? true,
        () => false,
      ));
    return { connected, host: config.SLUICE_HOST, port: config.SLUICE_MQTT_PORT ?? 1883, use_tls: false };
  };
  app.get("/api/v1/mqtt/status", { config: PUBLIC }, async (_request, reply) => {
    const { connected, port, use_tls } = await state();
    const mqtt_status = { connected, port, use_tls };
    const broker_info = { connected, port, tls_enabled: use_tls };
    return reply
      .code(connected ? 200 : 503)
      .send({ status: connected ? "success" : "unavailable", mqtt_status, broker_info });
  });
  app.get("/api/v1/mqtt/monitoring/metrics", { config: { access: "admin" } }, async () => {
    const totals = await listTotals(db);
    const sum = (key: "stored" | "duplicate" | "quarantined" | "readings") =>
      totals.reduce((all, total) => all + total[key], 0);
    return {
      status: "success",
      metrics: {
        connection_status: await state(),
        topics: { total_structures: linesOf("", "").length, base_topic: config.SLUICE_TOPIC_ROOT },
        messages: { stored: sum("stored"), duplicate: sum("duplicate"), quarantined: sum("quarantined") },
        readings: sum("readings"),
      },
      timestamp: new Date().toISOString(),
    };
  });
}
