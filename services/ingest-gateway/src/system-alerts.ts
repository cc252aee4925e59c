import type { Bus } from "@sluice/bus";
import { AlertNews, createTopics, type Resource, streamKey } from "@sluice/shared-types";
import { z } from "zod";
import { followStream } from "./follow-stream.ts";
import type { Log } from "./log.ts";

/** What telling of alerts needs. */
export interface SystemAlertsDeps {
  bus: Bus;
  /** Root of the topics. */
  root: string;
  /** Ways out: the built-in broker, and the external one where there is one. */
  publish: readonly ((topic: string, payload: string) => void)[];
  log: Log;
}

/** Group that lets what was told be trimmed. */
const GROUP = "system-alerts";
const PAUSE_MS = 200;
/** Alerts travel on the stream of commands, beside news of other kinds. */
const News = z.object({ alert: AlertNews.optional() });

/** Tells on `{root}/system/alerts` what alert-worker puts on the bus. Every gateway tells its own subscribers. */
export function openSystemAlerts({ bus, root, publish, log }: SystemAlertsDeps): Promise<Resource> {
  const topic = createTopics(root).system("alerts");
  return followStream(bus, {
    stream: streamKey("commands"),
    group: GROUP,
    pauseMs: () => PAUSE_MS,
    onMessage: (text) => {
      const alert = readAlert(text);
      if (alert === undefined) return;
      if (alert === null) return log.warn({ text: text.slice(0, 200) }, "news of an alert cannot be read");
      for (const send of publish) send(topic, JSON.stringify(alert));
    },
  });
}

/** undefined where it is news of something else, null where it cannot be read. */
function readAlert(text: string): AlertNews | null | undefined {
  try {
    return News.parse(JSON.parse(text)).alert;
  } catch {
    return null;
  }
}
