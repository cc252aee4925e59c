import { createTopics } from "@sluice/shared-types";

/** What a device may subscribe to and be sent. */
export interface Acl {
  /** Whether a credential that owns `devices` may subscribe to `filter`. */
  maySubscribe(filter: string, devices: readonly string[]): boolean;
  /** Whether a message on `topic` may be delivered to it: the last word, whatever was granted. */
  mayReceive(topic: string, devices: readonly string[]): boolean;
}

const OWN = /^(commands\/[^/]+|config|ack|rejected)$/;
const SHARED = /^(system\/(time|health|metrics|alerts)|fleet\/commands\/[^/]+)$/;
const MAX_FILTER = 512;

/**
 * Devices read their own `commands/…`, `config`, `ack`, `rejected` and discovery response, and what is meant for
 * all: fleet commands and `system/…`. A filter is granted where everything it can match is under a device of
 * their own or for all; `#` and the like are not.
 */
export function createAcl(root: string): Acl {
  const topics = createTopics(root);
  const own = (topic: string, devices: readonly string[]) =>
    devices.some((id) => {
      const base = `${root}/devices/${id}/`;
      return (
        (topic.startsWith(base) && OWN.test(topic.slice(base.length))) ||
        topic === topics.discoveryResponse(id)
      );
    });
  return {
    maySubscribe(filter, devices) {
      if (filter.length > MAX_FILTER || !isFilter(filter) || !filter.startsWith(`${root}/`)) return false;
      const rest = filter.slice(root.length + 1).split("/");
      const [area, name] = rest;
      if (area === "devices") return name !== undefined && rest.length > 2 && devices.includes(name);
      if (area === "fleet") return rest[1] === "commands" && rest.length === 3;
      if (area === "system") return rest.length === 2;
      return area === "discovery" && own(filter, devices);
    },
    mayReceive(topic, devices) {
      if (!topic.startsWith(`${root}/`)) return false;
      return SHARED.test(topic.slice(root.length + 1)) || own(topic, devices);
    },
  };
}

/** Whether wildcards stand where MQTT allows them. */
function isFilter(filter: string): boolean {
  const levels = filter.split("/");
  return levels.every((level, i) => {
    if (level === "+") return true;
    if (level === "#") return i === levels.length - 1;
    return !/[+#]/.test(level) && !level.includes("\u0000");
  });
}

/** Whether a subscription filter matches a topic. */
export function matches(filter: string, topic: string): boolean {
  const wanted = filter.split("/");
  const levels = topic.split("/");
  for (const [i, level] of wanted.entries()) {
    if (level === "#") return true;
    if (levels[i] === undefined || (level !== "+" && level !== levels[i])) return false;
  }
  return wanted.length === levels.length;
}
