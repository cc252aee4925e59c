import { type Bus, COMMANDS_GROUP } from "@sluice/bus";
import type { Notification } from "@sluice/db";
import { type AlertNews, streamKey } from "@sluice/shared-types";
import type { Config } from "./config.ts";
import type { Senders } from "./deliver.ts";
import { createMailer } from "./send-mail.ts";
import { createWebhook } from "./send-webhook.ts";

/** Creates a sender for every kind of channel. */
export function createSenders(config: Config, bus: Pick<Bus, "ensureGroup" | "publish">): Senders {
  const stream = streamKey("commands");
  return {
    email: createMailer(config.SLUICE_SMTP_URL, config.SLUICE_ALERT_FROM),
    webhook: createWebhook(config.SLUICE_WEBHOOK_ALLOW),
    // The gateways have the MQTT connections: each tells its own subscribers.
    mqtt: async (notification) => {
      await bus.ensureGroup(stream, COMMANDS_GROUP);
      await bus.publish(stream, [JSON.stringify({ devices: [], alert: toNews(notification) })]);
    },
  };
}

/** A notification as programs read it. */
export function toNews({ event, dedupeKey, alert }: Notification): AlertNews {
  return {
    key: dedupeKey,
    event,
    alert: alert.id,
    rule: alert.rule,
    device: alert.device,
    sensor: alert.sensor,
    severity: alert.severity,
    preventive: alert.preventive,
    status: alert.status,
    title: alert.title,
    message: alert.message,
    value: alert.value,
    threshold: alert.threshold,
    escalationLevel: alert.escalationLevel,
    triggeredAt: alert.triggeredAt.toISOString(),
    resolvedAt: alert.resolvedAt?.toISOString() ?? null,
  };
}
