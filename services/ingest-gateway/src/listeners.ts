import { createServer as createHttpServer } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type Server as TlsServer } from "node:tls";
import type { Resource } from "@sluice/shared-types";
import { createWebSocketStream, WebSocketServer } from "ws";
import type { Broker } from "./broker.ts";
import type { Door } from "./door.ts";
import type { Log } from "./log.ts";
import { followTls, namesOf, readTls } from "./tls.ts";

/** Where the broker listens; a port of 0 takes any free one, undefined opens none. */
export interface ListenOptions {
  host: string;
  mqttPort?: number | undefined;
  mqttsPort?: number | undefined;
  wsPort?: number | undefined;
  tlsCert?: string | undefined;
  tlsKey?: string | undefined;
  /** Authorities of the certificates that devices on the TLS port must have. */
  tlsClientCa?: string | undefined;
  maxConnections: number;
  maxPacketBytes: number;
}

/** The open ports. */
export interface Listeners extends Resource {
  ports: { mqtt?: number; mqtts?: number; ws?: number };
}

const SOCKET = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 };

/**
 * Opens the broker's ports: TCP, TLS (1.2 and later; certificate and key are read again when they change) and
 * WebSocket (subprotocol `mqtt`). Over `maxConnections` new connections are turned away.
 */
export async function openListeners(
  deps: { broker: Broker; turnedAway: Door; log: Log },
  options: ListenOptions,
): Promise<Listeners> {
  const { broker } = deps;
  const ports: Listeners["ports"] = {};
  const closers: (() => Promise<void>)[] = [];
  const admit = (socket: Socket): boolean => {
    if (broker.connections().open < options.maxConnections) return true;
    deps.turnedAway({
      reason: "too_many_connections",
      detail: `more than ${options.maxConnections} connections`,
      source: "mqtt",
      address: addressOf(socket),
    });
    socket.destroy();
    return false;
  };
  const take = (socket: Socket, certificate?: readonly string[]) => {
    if (admit(socket)) broker.handle(socket, addressOf(socket), certificate);
  };
  if (options.mqttPort !== undefined) {
    const server = createServer(SOCKET, take);
    ports.mqtt = await listen(server, options.host, options.mqttPort);
    closers.push(() => closeServer(server));
  }
  if (options.mqttsPort !== undefined) {
    const { server, close } = openTls(options, deps, take);
    ports.mqtts = await listen(server, options.host, options.mqttsPort);
    closers.push(close);
  }
  if (options.wsPort !== undefined) {
    const server = createHttpServer(
      { requestTimeout: 10_000, headersTimeout: 10_000 },
      (_request, response) => {
        response.writeHead(426, { connection: "close", upgrade: "websocket" }).end();
      },
    );
    const sockets = new WebSocketServer({
      server,
      maxPayload: options.maxPacketBytes,
      perMessageDeflate: false,
      handleProtocols: (offered) => ["mqtt", "mqttv3.1"].find((name) => offered.has(name)) ?? false,
    });
    sockets.on("connection", (socket, request) => {
      const stream = createWebSocketStream(socket);
      stream.on("error", () => {}); // the broker hears of it as well
      if (admit(request.socket)) broker.handle(stream, addressOf(request.socket));
    });
    ports.ws = await listen(server, options.host, options.wsPort);
    closers.push(async () => {
      sockets.close();
      await closeServer(server);
    });
  }
  return {
    ports,
    ping: async () => {},
    close: async () => {
      await Promise.all(closers.map((close) => close()));
    },
  };
}

const addressOf = (socket: Socket) => socket.remoteAddress?.replace(/^::ffff:/, "") ?? "unknown";

function openTls(
  options: ListenOptions,
  { log, turnedAway }: { log: Log; turnedAway: Door },
  take: (socket: Socket, certificate?: readonly string[]) => void,
): { server: TlsServer; close: () => Promise<void> } {
  const { tlsCert, tlsKey } = options;
  if (!tlsCert || !tlsKey) throw new Error("SLUICE_MQTTS_PORT needs SLUICE_TLS_CERT and SLUICE_TLS_KEY");
  const files = { cert: tlsCert, key: tlsKey, clientCa: options.tlsClientCa };
  const client = files.clientCa === undefined ? {} : { requestCert: true, rejectUnauthorized: true };
  const server = createTlsServer(
    { ...readTls(files), ...client, handshakeTimeout: 10_000, ...SOCKET },
    (socket) => take(socket, files.clientCa === undefined ? undefined : namesOf(socket)),
  );
  server.on("tlsClientError", (error, socket) =>
    turnedAway({
      reason: "protocol_error",
      detail: `TLS handshake failed: ${error.message.slice(0, 120)}`,
      source: "mqtt",
      address: addressOf(socket),
    }),
  );
  const unfollow = followTls(files, log, (context) => server.setSecureContext(context));
  return {
    server,
    close: async () => {
      unfollow();
      await closeServer(server);
    },
  };
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, backlog: 4096 }, () => {
      server.off("error", reject);
      const address = server.address();
      resolve(typeof address === "object" && address ? address.port : port);
    });
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    if ("closeAllConnections" in server)
      (server as unknown as { closeAllConnections(): void }).closeAllConnections();
  });
}
