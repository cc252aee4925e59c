import type { Bus } from "@sluice/bus";
import { OutageError, type Resource, SESSIONS_GROUP, streamKey } from "@sluice/shared-types";
import { z } from "zod";
import { followStream } from "./follow-stream.ts";
import type { Log } from "./log.ts";

/** Tells the other gateways who has connected here, so that a client id has one session among all of them. */
export interface SessionNews extends Resource {
  /** This client has connected here just now. */
  came(clientId: string): void;
  /** It has left. */
  left(clientId: string): void;
}

/** What gateways tell each other. */
const News = z.object({ gateway: z.string(), clients: z.array(z.string()) });

const TOGETHER_MS = 20;
const IDLE_MS = 100;
const AT_ONCE = 500;

/**
 * Opens the news. `onElsewhere` is called for a client of ours that has connected to another gateway after it came
 * here. Who came last is decided by the order of the stream: each sees its own news there, too, and a client whose
 * news has not come round yet is newer than what is heard of others. While the bus is away nobody is cut.
 */
export async function openSessionNews(
  bus: Bus,
  gateway: string,
  onElsewhere: (clientId: string) => void,
  log: Log,
): Promise<SessionNews> {
  const stream = streamKey("sessions");
  /** Clients that are here: how many of their arrivals have not come round yet. */
  const here = new Map<string, number>();
  const untold: string[] = [];
  let timer: NodeJS.Timeout | undefined;

  const hear = (text: string) => {
    const news = News.safeParse(JSON.parse(text));
    if (!news.success) return log.warn({ text: text.slice(0, 200) }, "news of sessions cannot be read");
    const own = news.data.gateway === gateway;
    for (const clientId of news.data.clients) {
      const coming = here.get(clientId);
      if (coming === undefined) continue;
      if (own) here.set(clientId, Math.max(0, coming - 1));
      else if (coming === 0) onElsewhere(clientId);
    }
  };
  const tell = () => {
    timer = undefined;
    const clients = untold.splice(0, AT_ONCE);
    if (untold.length > 0) timer = setTimeout(tell, 0);
    bus
      .publish(stream, [JSON.stringify({ gateway, clients } satisfies z.input<typeof News>)])
      .catch((error: unknown) => {
        if (!(error instanceof OutageError)) throw error;
        for (const clientId of clients) if (here.has(clientId)) here.set(clientId, 0);
        log.warn({ err: error, clients: clients.length }, "other gateways do not hear of new sessions");
      });
  };
  const following = await followStream(bus, {
    stream,
    group: SESSIONS_GROUP,
    onMessage: hear,
    pauseMs: (found) => (found ? TOGETHER_MS : IDLE_MS),
  });
  return {
    ping: following.ping,
    came(clientId) {
      here.set(clientId, (here.get(clientId) ?? 0) + 1);
      untold.push(clientId);
      timer ??= setTimeout(tell, TOGETHER_MS);
    },
    left: (clientId) => void here.delete(clientId),
    close: async () => {
      clearTimeout(timer);
      await following.close();
    },
  };
}
