import websocket from "@fastify/websocket";
import { listPlacedSensors, type PlacedSensor } from "@sluice/db";
import type { Telemetry } from "@sluice/shared-types";
import type { FastifyRequest } from "fastify";
import type { WebSocket } from "ws";
import { z } from "zod";
import { clusterOf, liveOf } from "../cea-live.ts";
import type { Deps } from "../deps.ts";
import { maySee, principalOf } from "../principal.ts";
import { iso } from "../schemas.ts";
import type { App } from "../server.ts";
import { isStill } from "./live.ts";

const MAX_SOCKETS = 300;
/** What may wait for a slow reader before it is cut off. */
const MAX_WAITING_BYTES = 1024 * 1024;
const CHECK_MS = 10_000;

/** The document's `/ws` and `/ws/{location}`: what is live at first, then every reading as it is accepted. */
export function addCeaSockets(app: App, deps: Deps): void {
  // who asked for a WebSocket and was refused would otherwise keep its connection, and us from closing
  app.addHook("onResponse", async (request) => {
    if (request.headers.upgrade !== undefined) request.raw.socket.destroySoon();
  });
  void app.register(async (scope) => {
    await scope.register(websocket, { options: { maxPayload: 4096 } });
    addSockets(scope as unknown as App, deps);
  });
}

function addSockets(app: App, deps: Deps): void {
  let open = 0;
  const serve = async (socket: WebSocket, request: FastifyRequest, location?: string): Promise<void> => {
    // nothing is expected from the other side
    socket.on("error", () => socket.terminate());
    if (open >= MAX_SOCKETS) return socket.close(1013, "too many listen already");
    open++;
    const stops: (() => void)[] = [];
    socket.on("close", () => {
      open--;
      for (const stop of stops) stop();
    });
    const principal = principalOf(request);
    const sensors = new Map<string, Map<string, PlacedSensor>>();
    for (const sensor of await listPlacedSensors(deps.db, location)) {
      if (!maySee(principal, sensor.device)) continue;
      sensors.set(sensor.device, (sensors.get(sensor.device) ?? new Map()).set(sensor.name, sensor));
    }
    if (sensors.size === 0) return socket.close(1008, "no sensors there");
    const send = (message: object) => {
      if (socket.bufferedAmount > MAX_WAITING_BYTES) socket.terminate();
      else if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(message));
    };
    const known = [...sensors.values()].flatMap((byName) => [...byName.values()]);
    send({ type: "live", locations: await liveOf(deps, known) });
    stops.push(deps.live.subscribe((message) => tell(message, sensors.get(message.device), send)));
    stops.push(watch(socket, () => isStill(deps, request, principal)));
    if (socket.readyState !== socket.OPEN) for (const stop of stops) stop();
  };
  const guarded = (socket: WebSocket, request: FastifyRequest, location?: string) => {
    serve(socket, request, location).catch((error: unknown) => {
      deps.log.warn({ err: error }, "a live connection ended");
      socket.close(1011, "not available");
    });
  };
  const config = { access: "read" } as const;
  app.get("/ws", { config, websocket: true }, (socket, request) => guarded(socket, request));
  const params = z.object({ location: z.string().min(1).max(128) });
  app.get("/ws/:location", { config, websocket: true, schema: { params } }, (socket, request) =>
    guarded(socket, request, (request.params as z.output<typeof params>).location),
  );
}

function tell(
  message: Telemetry,
  sensors: ReadonlyMap<string, PlacedSensor> | undefined,
  send: (message: object) => void,
): void {
  if (!sensors) return;
  for (const { timeUs, readings } of message.samples) {
    for (const { field, value } of readings) {
      const sensor = sensors.get(field);
      if (!sensor || typeof value === "string") continue;
      const read = value === null ? null : Number(value) + sensor.calibrationOffset;
      const { location, unit, name } = sensor;
      const place = { location, cluster: clusterOf(sensor) };
      send({ type: "reading", ...place, sensor: name, value: read, unit, time: iso(timeUs) });
    }
  }
}

/** Ends a connection whose other side does not answer any more, or whose key or session is no longer good. */
function watch(socket: WebSocket, isGood: () => Promise<boolean>): () => void {
  let answered = true;
  socket.on("pong", () => {
    answered = true;
  });
  const check = async () => {
    if (!answered) return socket.terminate();
    answered = false;
    socket.ping();
    if (!(await isGood())) socket.close(1008, "the key is not good any more");
    return undefined;
  };
  const timer = setInterval(() => void check().catch(() => socket.terminate()), CHECK_MS);
  return () => clearInterval(timer);
}
