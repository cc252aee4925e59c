import { DEVICE_ID } from "./devices.ts";
import { InvalidInputError } from "./errors.ts";

/** What a topic that devices publish to means. */
export type IncomingTopic =
  | { kind: "telemetry"; device: string; type: string }
  | { kind: "status"; device: string; type: string }
  | { kind: "lwt"; device: string }
  | { kind: "result"; device: string; type: string }
  | { kind: "register"; device: string }
  | { kind: "fleet-status"; group: string };

/** One extra pattern, e.g. `hydroponics/sensors/{type}` → readings of `arduino_1`. */
export interface TopicMap {
  /** Levels are literal, or `{device}` or `{type}`. */
  pattern: string;
  /** Device where the pattern has no `{device}`; the payload's own id (`sensor_id`, `device_id`) wins. */
  device?: string;
  /** Type where the pattern has no `{type}`. */
  type?: string;
}

/** Type of a telemetry topic without a last level. */
export const DEFAULT_TYPE = "telemetry";
const TYPE = /^[A-Za-z0-9_.-]{1,64}$/;
const MAX_TOPIC_BYTES = 1024;
const bad = (why: string) => new InvalidInputError("bad_topic", why);

function type(level: string): string {
  if (!TYPE.test(level) || level.startsWith("_")) {
    throw bad("a telemetry type is 1-64 letters, digits, '_', '-' or '.', not starting with '_'");
  }
  return level;
}

function device(level: string): string {
  if (!DEVICE_ID.test(level)) {
    throw new InvalidInputError("bad_device_id", "a device id is 1-64 letters, digits, '_' or '-'");
  }
  return level;
}

/**
 * Reads a topic that a device published to. `root` has no slash at either end.
 * @throws InvalidInputError `bad_topic` or `bad_device_id`
 */
export function parseTopic(topic: string, root: string, maps: readonly TopicMap[] = []): IncomingTopic {
  if (topic.length === 0 || topic.length > MAX_TOPIC_BYTES) throw bad("topic is empty or too long");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused here
  if (/[+#\u0000-\u001f\u007f\ufeff\ufffd-\uffff]/.test(topic)) throw bad("topic has a forbidden character");
  if (topic.startsWith(`${root}/`)) return parseRooted(topic.slice(root.length + 1).split("/"));
  for (const map of maps) {
    const found = matchMap(topic, map);
    if (found) return found;
  }
  throw bad(`topic is not under '${root}/' and no topic map matches it`);
}

function parseRooted(levels: string[]): IncomingTopic {
  const [area, second, third, fourth, fifth] = levels;
  if (area === "devices" && second !== undefined && third !== undefined) {
    const id = device(second);
    if (third === "telemetry" && levels.length === 3)
      return { kind: "telemetry", device: id, type: DEFAULT_TYPE };
    if (third === "telemetry" && fourth !== undefined && levels.length === 4) {
      return { kind: "telemetry", device: id, type: type(fourth) };
    }
    if (third === "status" && fourth !== undefined && levels.length === 4) {
      return { kind: "status", device: id, type: type(fourth) };
    }
    if (third === "commands" && fourth !== undefined && fifth === "result" && levels.length === 5) {
      return { kind: "result", device: id, type: type(fourth) };
    }
  }
  if (area === "lwt" && second === "devices" && third !== undefined && levels.length === 3) {
    return { kind: "lwt", device: device(third) };
  }
  if (area === "discovery" && second === "register" && third !== undefined && levels.length === 3) {
    return { kind: "register", device: device(third) };
  }
  if (area === "fleet" && second === "status" && third !== undefined && levels.length === 3) {
    return { kind: "fleet-status", group: device(third) };
  }
  throw bad("not a topic that devices publish to");
}

function matchMap(topic: string, map: TopicMap): IncomingTopic | undefined {
  const wanted = map.pattern.split("/");
  const levels = topic.split("/");
  if (wanted.length !== levels.length) return undefined;
  let id = map.device ?? "";
  let kind = map.type ?? DEFAULT_TYPE;
  for (const [i, level] of levels.entries()) {
    if (wanted[i] === "{device}") id = device(level);
    else if (wanted[i] === "{type}") kind = type(level);
    else if (wanted[i] !== level) return undefined;
  }
  return { kind: "telemetry", device: id, type: kind };
}

/** Builds the topics the server publishes to, and those of a device, under one root. */
export function createTopics(root: string) {
  const dev = (id: string) => `${root}/devices/${id}`;
  return {
    telemetry: (id: string, kind?: string) => `${dev(id)}/telemetry${kind ? `/${kind}` : ""}`,
    status: (id: string, kind: string) => `${dev(id)}/status/${kind}`,
    lwt: (id: string) => `${root}/lwt/devices/${id}`,
    command: (id: string, kind: string) => `${dev(id)}/commands/${kind}`,
    config: (id: string) => `${dev(id)}/config`,
    ack: (id: string) => `${dev(id)}/ack`,
    rejected: (id: string) => `${dev(id)}/rejected`,
    discoveryResponse: (id: string) => `${root}/discovery/response/${id}`,
    fleetCommand: (group: string) => `${root}/fleet/commands/${group}`,
    fleetStatus: (group: string) => `${root}/fleet/status/${group}`,
    system: (what: "health" | "metrics" | "alerts" | "time") => `${root}/system/${what}`,
    /** What a subscriber to an external broker has to follow. */
    incoming: [
      `${root}/devices/+/telemetry`,
      `${root}/devices/+/telemetry/+`,
      `${root}/devices/+/status/+`,
      `${root}/devices/+/commands/+/result`,
      `${root}/lwt/devices/+`,
      `${root}/discovery/register/+`,
    ],
  };
}
/** See {@link createTopics}. */
export type Topics = ReturnType<typeof createTopics>;
