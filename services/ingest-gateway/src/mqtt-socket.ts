import { connect as connectTcp } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import type { Packet } from "mqtt-packet";
import { createWebSocketStream, WebSocket } from "ws";
import type { LinkOptions } from "./mqtt-link.ts";

/** Starts connecting over TCP, TLS or a websocket, as the URL says. Errors come as events. */
export function openSocket({ url, ca, connectTimeoutMs }: LinkOptions): Duplex {
  const secure = url.protocol === "mqtts:" || url.protocol === "wss:";
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const trust = ca === undefined ? {} : { ca };
  if (url.protocol === "ws:" || url.protocol === "wss:") {
    const bare = new URL(url);
    bare.username = bare.password = bare.search = "";
    const socket = new WebSocket(bare, "mqtt", { handshakeTimeout: connectTimeoutMs, ...trust });
    return createWebSocketStream(socket);
  }
  const port = Number(url.port) || (secure ? 8883 : 1883);
  const socket = secure
    ? connectTls({ host, port, servername: /^[\d.]+$|:/.test(host) ? "" : host, ...trust })
    : connectTcp({ host, port });
  socket.setNoDelay(true);
  return socket;
}

/** The CONNECT of a persistent session that never expires, or of a clean one. */
export function connectPacket(options: LinkOptions): Packet {
  const { url, clientId, version, keepaliveMs, clean = false } = options;
  const username = decodeURIComponent(url.username);
  const properties = clean
    ? {}
    : { sessionExpiryInterval: 0xffff_ffff, receiveMaximum: options.receiveMaximum };
  return {
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: version,
    clientId,
    clean,
    keepalive: Math.ceil(keepaliveMs / 1000),
    ...(username === "" ? {} : { username }),
    ...(url.password === "" ? {} : { password: Buffer.from(decodeURIComponent(url.password)) }),
    ...(version === 5 ? { properties } : {}),
  };
}
