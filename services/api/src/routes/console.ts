import { PassThrough } from "node:stream";
import type { Deps } from "../deps.ts";
import { createFlow } from "../flow.ts";
import { principalOf } from "../principal.ts";
import { Refusal } from "../refusal.ts";
import type { App } from "../server.ts";

const TICK_MS = 1000;
const MAX_WATCHERS = 100;
const MAX_WAITING_BYTES = 1024 * 1024;

/** What the console shows that no other client has asked for: the path as a whole, and this installation's addresses. */
export function addConsoleRoutes(app: App, deps: Deps): void {
  const { config } = deps;
  const read = { config: { access: "read" as const } };
  app.get("/api/v1/installation", read, async () => ({
    mqttPort: config.SLUICE_MQTT_PORT ?? 1883,
    topicRoot: config.SLUICE_TOPIC_ROOT,
    partitions: config.SLUICE_PARTITIONS,
    sinks: config.SLUICE_SINKS,
    influxBucket: deps.influx === undefined ? null : config.INFLUXDB_BUCKET,
  }));
  const flow = createFlow(deps);
  app.get("/api/v1/flow", read, async () => flow());
  let watchers = 0;
  app.get("/api/v1/flow/live", read, async (request, reply) => {
    if (watchers >= MAX_WATCHERS)
      throw new Refusal(503, "too many watch already", {}, { "retry-after": "10" });
    const { expiresMs } = principalOf(request);
    watchers++;
    const stream = new PassThrough({ highWaterMark: 64 * 1024 });
    stream.write("retry: 2000\n\n");
    let busy = false;
    const tick = () => {
      if (Date.now() >= expiresMs || stream.writableLength > MAX_WAITING_BYTES) return void stream.destroy();
      if (busy) return undefined;
      busy = true;
      return void flow().then((snapshot) => {
        busy = false;
        if (!stream.destroyed) stream.write(`event: flow\ndata: ${JSON.stringify(snapshot)}\n\n`);
      });
    };
    tick();
    const timer = setInterval(tick, TICK_MS);
    stream.on("close", () => {
      watchers--;
      clearInterval(timer);
    });
    stream.on("error", () => {});
    request.raw.on("close", () => stream.destroy());
    return reply.header("content-type", "text/event-stream").header("x-accel-buffering", "no").send(stream);
  });
}
