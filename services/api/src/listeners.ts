import { readFileSync } from "node:fs";
import { createServer, type Server as HttpServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { App } from "./server.ts";

/** Further ports of the one origin. */
export interface ListenerOptions {
  host: string;
  /** Ports of the documents (5000, 8000), plain HTTP. */
  ports: readonly number[];
  /** HTTPS, where a certificate is given. */
  tls: { port: number; certFile: string; keyFile: string } | undefined;
  maxConnections: number;
}

/** The ports that are open, as they were asked for. */
export interface Listeners {
  ports: number[];
  httpsPort: number | undefined;
  close(): Promise<void>;
}

/** Opens them in front of an `app` that listens already. A renewed certificate is read at the next start. */
export async function openListeners(app: App, options: ListenerOptions): Promise<Listeners> {
  const { host, tls, maxConnections } = options;
  const opened: HttpServer[] = [];
  const open = async (server: HttpServer, port: number): Promise<number> => {
    server.maxConnections = maxConnections;
    server.requestTimeout = app.server.requestTimeout;
    server.headersTimeout = app.server.headersTimeout;
    server.keepAliveTimeout = app.server.keepAliveTimeout;
    server.on("upgrade", (...upgrade) => app.server.emit("upgrade", ...upgrade));
    server.on("clientError", (...fault) => app.server.emit("clientError", ...fault));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port, backlog: 1024 }, resolve);
    });
    opened.push(server);
    const address = server.address();
    return typeof address === "object" && address ? address.port : port;
  };
  const close = async () => {
    for (const server of opened) server.closeAllConnections();
    await Promise.all(opened.map((server) => new Promise((resolve) => server.close(resolve))));
  };
  try {
    const ports: number[] = [];
    for (const port of options.ports) ports.push(await open(createServer(SIZES, app.routing), port));
    const httpsPort =
      tls && (await open(createTlsServer({ ...SIZES, ...certificateOf(tls) }, app.routing), tls.port));
    return { ports, httpsPort, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** As the first listener has it. */
export const MAX_HEADER_BYTES = 16 * 1024;
const SIZES = { maxHeaderSize: MAX_HEADER_BYTES };

const certificateOf = ({ certFile, keyFile }: { certFile: string; keyFile: string }) => ({
  cert: readFileSync(certFile),
  key: readFileSync(keyFile),
  minVersion: "TLSv1.2" as const,
});
