import { createTopics } from "@sluice/shared-types";
import type { Broker } from "./broker.ts";
import type { Log } from "./log.ts";
import type { Outcomes } from "./outcomes.ts";
import type { Subscriber } from "./subscribe.ts";

/** Tells devices that want to know, wherever they listen, when the database has committed their message. */
export function tellStored(
  outcomes: Pick<Outcomes, "onDevice">,
  root: string,
  broker: Pick<Broker, "publish">,
  subscriber: Pick<Subscriber, "publish"> | undefined,
  log: Log,
): void {
  const topics = createTopics(root);
  outcomes.onDevice(({ device, boot, seq, level: outcome, reason }) => {
    const level = outcome === "quarantined" ? "rejected" : "stored";
    const topic = level === "stored" ? topics.ack(device) : topics.rejected(device);
    const payload = JSON.stringify({
      ...(boot === undefined ? {} : { boot }),
      seq,
      level,
      ...(reason === undefined ? {} : { reason }),
    });
    broker.publish(topic, payload, 1);
    subscriber
      ?.publish(topic, payload, { qos: 0, retain: false })
      .catch((error: unknown) => log.debug({ err: error, device }, "not told that it is stored"));
  });
}
