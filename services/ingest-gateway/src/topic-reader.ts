import { type IncomingTopic, parseTopic, type TopicMap } from "@sluice/shared-types";

/** A topic read, and what it says about the device. */
export interface ReadTopic {
  meaning: IncomingTopic;
  /** The device the topic itself names. */
  device?: string;
  /** The device of a topic map that names one for all its messages; the payload's own id wins. */
  fallback?: string;
}

/** Document A's bridge: the payload says which device it is, or the credential has just one. */
export const DEFAULT_TOPIC_MAPS: readonly TopicMap[] = [
  { pattern: "hydroponics/sensors/all", type: "sensor_reading" },
  { pattern: "hydroponics/sensors/{type}" },
];

const KEPT = 50_000;

/** Reads topics as `parseTopic` does, remembering those it has read: devices publish to few. */
export function createTopicReader(root: string, maps: readonly TopicMap[]): (topic: string) => ReadTopic {
  const known = new Map<string, ReadTopic>();
  return (topic) => {
    const found = known.get(topic);
    if (found) return found;
    const read = readTopic(topic, root, maps);
    if (known.size >= KEPT) known.clear();
    known.set(topic, read);
    return read;
  };
}

function readTopic(topic: string, root: string, maps: readonly TopicMap[]): ReadTopic {
  const meaning = parseTopic(topic, root, maps);
  if (meaning.kind === "fleet-status" || meaning.device === "") return { meaning };
  const named = topic.startsWith(`${root}/`) || maps.some((map) => map.pattern.includes("{device}"));
  return named && topic.split("/").includes(meaning.device)
    ? { meaning, device: meaning.device }
    : { meaning, fallback: meaning.device };
}

/**
 * Reads `pattern`, `pattern=device` or `pattern=device:type`, separated by commas, e.g.
 * `hydroponics/sensors/{type}=arduino_1`. Empty text means {@link DEFAULT_TOPIC_MAPS}, `none` no map.
 * @throws Error naming what is wrong
 */
export function parseTopicMaps(text: string | undefined): readonly TopicMap[] {
  if (text === undefined || text.trim() === "") return DEFAULT_TOPIC_MAPS;
  if (text.trim() === "none") return [];
  return text.split(",").map((item) => {
    const m = /^([^=,\s]+?)(?:=([A-Za-z0-9_-]{1,64})?(?::([A-Za-z0-9_.-]{1,64}))?)?$/.exec(item.trim());
    const pattern = m?.[1] ?? "";
    const levels = pattern.split("/");
    if (!m || levels.some((level) => !/^(\{device\}|\{type\}|[^{}+#$\s]+)$/.test(level))) {
      throw new Error(
        `SLUICE_TOPIC_MAPS: '${item.trim()}' is not 'pattern', 'pattern=device' or 'pattern=device:type'`,
      );
    }
    const map: TopicMap = { pattern };
    if (m[2] !== undefined) map.device = m[2];
    if (m[3] !== undefined) map.type = m[3];
    return map;
  });
}
