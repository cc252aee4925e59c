import { STATUS_CODES } from "node:http";
import type { Resource } from "@sluice/shared-types";
import type { FastifyInstance } from "fastify";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { Check } from "./readiness.ts";

const LOOK_EVERY_MS = 3_000;

/** What the operations endpoint needs to answer. */
export interface OpsSources {
  service: string;
  log: Log;
  metrics: Metrics;
  /** Dependencies, and whether the service has come up. */
  check(): Promise<{ started: boolean; checks: Check[] }>;
}

/**
 * Serves `/health` (200 while the process runs), `/ready` (503 naming what fails) and `/metrics` (Prometheus)
 * on `port`; 0 takes any free one.
 */
export async function openOps(
  host: string,
  port: number,
  sources: OpsSources,
): Promise<Resource & { port: number }> {
  const { service, metrics } = sources;
  const look = createLookout(sources);
  const { fastify } = await import("fastify"); // not for the CLI, which starts often and serves nothing
  const app: FastifyInstance = fastify({ requestTimeout: 10_000, bodyLimit: 1024 });
  const startedMs = Date.now();
  app.get("/health", async () => ({
    status: "ok",
    service,
    uptimeSeconds: Math.round((Date.now() - startedMs) / 1000),
  }));
  app.get("/ready", async (_request, reply) => {
    const { started, checks } = await look();
    const ready = started && checks.every((check) => check.ok);
    reply.code(ready ? 200 : 503);
    return {
      ready,
      service,
      checks,
      failing: checks.filter((check) => !check.ok).map((check) => check.name),
    };
  });
  app.get("/metrics", async (_request, reply) => {
    const { contentType, text } = await metrics.expose();
    return reply.header("content-type", contentType).send(text);
  });
  app.setNotFoundHandler(
    (request, reply) => void sendProblem(reply, 404, `no ${request.method} ${request.url}`),
  );
  await app.listen({ host, port });
  // Also where nobody asks: a dependency that is silent makes no error that could be logged.
  const timer = setInterval(() => void look(), LOOK_EVERY_MS).unref();
  const address = app.server.address();
  return {
    port: typeof address === "object" && address ? address.port : port,
    ping: async () => {},
    close: () => {
      clearInterval(timer);
      return app.close();
    },
  };
}

/** Checks the dependencies; counts each that fails, and says once that it does and once that it works again. */
function createLookout({ log, metrics, check }: OpsSources): OpsSources["check"] {
  const failures = metrics.counter("dependency_failures_total", "Checks of a dependency that failed", [
    "dependency",
  ]);
  const down = new Set<string>();
  return async () => {
    const state = await check();
    for (const { name, ok, error } of state.started ? state.checks : []) {
      if (!ok) failures.inc({ dependency: name });
      if (ok && down.delete(name)) log.info({ dependency: name }, `${name} works again`);
      if (ok || down.has(name)) continue;
      down.add(name);
      log.warn({ dependency: name, error }, `not ready: ${name} does not work`);
    }
    return state;
  };
}

/** Anything with fastify's reply verbs. */
interface ReplyLike {
  code(status: number): ReplyLike;
  header(name: string, value: string): ReplyLike;
  send(body: unknown): unknown;
}

/** Answers with RFC 9457 problem details that also carry document B's `error` and `message`. */
export function sendProblem(
  reply: ReplyLike,
  status: number,
  detail: string,
  extra: Record<string, unknown> = {},
): unknown {
  const title = STATUS_CODES[status] ?? "Error";
  return reply
    .code(status)
    .header("content-type", "application/problem+json")
    .send({ type: "about:blank", title, status, detail, error: title, message: detail, ...extra });
}

/** The part of a socket that a broken request is answered on. */
interface BareSocket {
  writable: boolean;
  end(data: string): unknown;
  destroy(): unknown;
}

/**
 * Answers a request that never became one (`clientError`) with problem details on the bare socket, and closes it.
 * Gives what was answered; undefined where nobody was there to hear it.
 */
export function answerBroken(
  error: Error & { code?: string },
  socket: BareSocket,
): { status: number; title: string } | undefined {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return undefined;
  }
  const status =
    error.code === "HPE_HEADER_OVERFLOW" ? 431 : error.code === "ERR_HTTP_REQUEST_TIMEOUT" ? 408 : 400;
  const title = STATUS_CODES[status] ?? "Error";
  const body = JSON.stringify({
    type: "about:blank",
    title,
    status,
    detail: title,
    error: title,
    message: title,
  });
  const head = `HTTP/1.1 ${status} ${title}\r\nconnection: close\r\ncontent-type: application/problem+json`;
  socket.end(`${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  return { status, title };
}
