import { PassThrough } from "node:stream";
import { DeviceId, OutageError, streamKey, type Telemetry } from "@sluice/shared-types";
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import { SESSION_COOKIE } from "../authenticate.ts";
import type { Deps } from "../deps.ts";
import { maySee, type Principal, principalOf } from "../principal.ts";
import { Refusal } from "../refusal.ts";
import type { App } from "../server.ts";

const MAX_LISTENERS = 300;
/** What may wait for a slow reader before it is cut off. */
const MAX_WAITING_BYTES = 2 * 1024 * 1024;
const HEARTBEAT_MS = 10_000;
const LAG_MS = 1000;

const Query = z.strictObject({
  device: DeviceId.optional(),
  events: z.enum(["readings", "lag", "events", "all"]).default("all"),
});

/** Live readings, lag, and what happens (alerts, refusals, ends of jobs, states of commands) as server-sent events. */
export function addLiveRoutes(app: App, deps: Deps): void {
  const { live, events: happenings, bus, config } = deps;
  let open = 0;
  app.get(
    "/api/v1/live",
    { config: { access: "device" }, schema: { querystring: Query } },
    async (request, reply) => {
      const principal = principalOf(request);
      const { device, events } = request.query;
      if (device !== undefined && !maySee(principal, device))
        throw new Refusal(403, "this key may not see that device");
      if (open >= MAX_LISTENERS)
        throw new Refusal(503, "too many listen already", {}, { "retry-after": "10" });
      open++;
      const stream = new PassThrough({ highWaterMark: 64 * 1024 });
      const send = (event: string, data: unknown) => {
        if (stream.writableLength > MAX_WAITING_BYTES) return void stream.destroy();
        if (!stream.destroyed) stream.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
        return undefined;
      };
      stream.write("retry: 2000\n\n");
      const stops: (() => void)[] = [];
      const wants = (what: typeof events) => events === "all" || events === what;
      const seesAll = principal.scopes.includes("read") && principal.devices === null;
      if (wants("readings")) {
        stops.push(
          live.subscribe((message) => {
            if (
              message.kind === "telemetry" &&
              maySee(principal, message.device) &&
              (device ?? message.device) === message.device
            )
              send("reading", shown(message));
          }),
        );
      }
      if (wants("lag") && seesAll) {
        stops.push(every(LAG_MS, () => sendLag(bus, config.SLUICE_PARTITIONS, send)));
      }
      if (wants("events")) {
        stops.push(
          happenings.subscribe((event) => {
            const visible = event.device === null ? seesAll : maySee(principal, event.device);
            if (visible && (device ?? event.device) === event.device) send(event.kind, event);
          }),
        );
      }
      stops.push(
        every(HEARTBEAT_MS, async () => {
          if (await isStill(deps, request, principal)) stream.write(": still here\n\n");
          else stream.destroy();
        }),
      );
      stream.on("close", () => {
        open--;
        for (const stop of stops) stop();
      });
      stream.on("error", () => {});
      request.raw.on("close", () => stream.destroy());
      return reply.header("content-type", "text/event-stream").header("x-accel-buffering", "no").send(stream);
    },
  );
}

const shown = ({ device, type, samples }: Telemetry) => ({
  device,
  type,
  samples: samples.map(({ timeUs, readings }) => ({
    time: new Date(timeUs / 1000).toISOString(),
    readings: Object.fromEntries(readings.map(({ field, value }) => [field, value])),
  })),
});

async function sendLag(bus: Deps["bus"], partitions: number, send: (event: string, data: unknown) => void) {
  const streams = Array.from({ length: partitions }, (_, i) => streamKey("telemetry", i));
  send("lag", { streams: await Promise.all(streams.map((stream) => bus.lag(stream))) });
}

/** Runs `work` again and again, never twice at once; an outage is waited out. */
function every(intervalMs: number, work: () => Promise<void>): () => void {
  let busy = false;
  const timer = setInterval(() => {
    if (busy) return;
    busy = true;
    work()
      .catch((error: unknown) => {
        if (!(error instanceof OutageError)) throw error;
      })
      .finally(() => {
        busy = false;
      });
  }, intervalMs);
  return () => clearInterval(timer);
}

/** Whether the key or session that opened the stream is still good. */
export async function isStill(
  { identities }: Deps,
  request: FastifyRequest,
  principal: Principal,
): Promise<boolean> {
  if (principal.expiresMs <= Date.now()) return false;
  const key = request.headers["x-api-key"];
  const bearer = request.headers.authorization?.split(" ")[1];
  const cookie = request.cookies[SESSION_COOKIE];
  const answer =
    typeof key === "string"
      ? await identities.ofKey(key)
      : bearer !== undefined && bearer.split(".").length !== 3
        ? await identities.ofKey(bearer)
        : await identities.ofSession(bearer ?? cookie ?? "");
  return "principal" in answer;
}
