import type { Server as TlsServer } from "node:tls";
import { createGunzip } from "node:zlib";
import { answerBroken, createLimiter, sendProblem } from "@sluice/service-kit";
import { InvalidInputError, OutageError, type Reason, type Resource } from "@sluice/shared-types";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { Admission } from "./admission.ts";
import { type AuthDeps, authenticate, turnAway } from "./http-auth.ts";
import { addRoutes, type RouteDeps } from "./http-routes.ts";
import type { Log } from "./log.ts";
import { followTls, readTls, type TlsFiles } from "./tls.ts";

/** What the HTTP side needs around it. */
export interface HttpDeps extends Omit<RouteDeps, "overQuota">, AuthDeps {
  admission: Pick<Admission, "open" | "retryAfterS">;
  log: Log;
}

/** Where it listens and how much it takes. */
export interface HttpOptions {
  host: string;
  port: number;
  trustedProxies: readonly string[];
  maxBodyBytes: number;
  maxConnections: number;
  /** Longest time for a whole request; headers get two thirds of it. */
  requestTimeoutMs: number;
  /** Serves HTTPS with these files, which are read again when they change. */
  tls?: TlsFiles | undefined;
}

/** The open HTTP port. */
export interface Http extends Resource {
  port: number;
}

const PUBLIC = new Set(["/api/v1/now"]);
const MAX_HEADER_BYTES = 16 * 1024;
const QUIET_MS = 10_000;

/**
 * Opens the ingest routes. Nothing is answered with 2xx before it is durable; when the bus cannot take it the
 * answer is 503 with Retry-After. Errors are problem details that also have `error` and `message`.
 */
export async function openHttp(deps: HttpDeps, options: HttpOptions): Promise<Http> {
  const app: FastifyInstance = Fastify({
    ...(options.tls === undefined
      ? {}
      : ({ https: readTls({ ...options.tls, clientCa: undefined }) } as object)),
    // The api forwards ingest paths and says for whom: refusals name the sender, not the api.
    trustProxy: [...options.trustedProxies],
    bodyLimit: options.maxBodyBytes,
    requestTimeout: options.requestTimeoutMs,
    connectionTimeout: options.requestTimeoutMs * 2,
    keepAliveTimeout: 30_000,
    maxRequestsPerSocket: 10_000,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    http: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: (options.requestTimeoutMs * 2) / 3,
      connectionsCheckingInterval: 2000,
    },
    clientErrorHandler: (error, socket) => turnAwayBroken(deps, error, socket),
    frameworkErrors: (_error, _request, reply) =>
      void sendProblem(reply as unknown as FastifyReply, 400, "the URL cannot be read"),
  });
  app.server.maxConnections = options.maxConnections;
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, (_request, body, done) =>
    done(null, body),
  );
  app.addHook("onRequest", async (request, reply) => {
    if (!app.hasRoute({ method: request.method as "GET", url: request.routeOptions.url ?? "" })) return;
    if (PUBLIC.has(request.routeOptions.url ?? "")) return;
    if (!deps.admission.open) return answerFull(deps.admission.retryAfterS, reply);
    await authenticate(deps, request, reply);
  });
  app.addHook("preParsing", async (request, reply, payload) => {
    const charset = /charset\s*=\s*"?([^";\s]+)/i.exec(request.headers["content-type"] ?? "")?.[1];
    if (charset !== undefined && !/^utf-?8$/i.test(charset)) {
      turnAway(deps, request, "not_json", `charset ${charset}`);
      return sendProblem(reply, 415, "the body is application/json in UTF-8");
    }
    return inflate(request, payload);
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split("?")[0] ?? "";
    const allowed = (["GET", "POST"] as const).filter((method) => app.hasRoute({ method, url: path }));
    if (allowed.length === 0) return void sendProblem(reply, 404, "no such path");
    reply.header("allow", allowed.join(", "));
    return void sendProblem(reply, 405, `${request.method} is not possible here`);
  });
  const quiet = createLimiter(QUIET_MS);
  const sayOutage = (error: OutageError) => {
    const held = quiet(error.dependency, Date.now());
    if (held !== undefined) deps.log.warn({ err: error, held }, "requests not taken: they could not be kept");
  };
  app.setErrorHandler(
    (error, request, reply) => void answerError({ ...deps, sayOutage }, error, request, reply),
  );
  const detail = "the device sends more than its allowance";
  addRoutes(app, { ...deps, overQuota: (request) => turnAway(deps, request, "quota_exceeded", detail) });
  const unfollow =
    options.tls &&
    followTls(options.tls, deps.log, ({ ca: _, ...context }) =>
      (app.server as unknown as TlsServer).setSecureContext(context),
    );
  await app.listen({ host: options.host, port: options.port, backlog: 1024 });
  const address = app.server.address();
  return {
    port: typeof address === "object" && address ? address.port : options.port,
    ping: async () => {},
    close: async () => {
      unfollow?.();
      await app.close();
    },
  };
}

function inflate(request: FastifyRequest, payload: NodeJS.ReadableStream): NodeJS.ReadableStream {
  const encoding = request.headers["content-encoding"];
  if (encoding === undefined || encoding === "identity") return payload;
  if (encoding !== "gzip")
    throw Object.assign(new Error("content-encoding is gzip or none"), { statusCode: 415 });
  // The body limit counts what comes out: reading stops there, and with it inflating.
  const inflated = Object.assign(payload.pipe(createGunzip()), {
    receivedEncodedLength: Number(request.headers["content-length"] ?? 0),
  });
  inflated.on("error", () => {});
  delete request.headers["content-length"];
  return inflated;
}

/** Before anything of the request is read. */
function answerFull(seconds: number, reply: FastifyReply): void {
  const extra = { code: "unavailable", retry_after: seconds };
  sendProblem(reply.header("retry-after", String(seconds)), 503, "too much waits to be stored", extra);
}

const BY_STATUS: Record<number, Reason> = {
  400: "protocol_error",
  408: "connect_timeout",
  413: "too_large",
  415: "not_json",
};

function answerError(
  deps: HttpDeps & { sayOutage(error: OutageError): void },
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): unknown {
  if (error instanceof OutageError) {
    const seconds = Math.max(1, Math.ceil((error.retryAfterMs ?? 2000) / 1000));
    deps.sayOutage(error);
    return sendProblem(
      reply.header("retry-after", String(seconds)),
      503,
      "cannot be kept now; try again later",
      {
        code: "unavailable",
        retry_after: seconds,
      },
    );
  }
  if (error instanceof InvalidInputError) {
    turnAway(
      deps,
      request,
      error.code,
      error.message,
      Buffer.isBuffer(request.body) ? request.body : undefined,
    );
    return sendProblem(reply, error.code === "idempotency_mismatch" ? 422 : 400, error.message, {
      code: error.code,
    });
  }
  const broken = error as Error & { statusCode?: number; code?: string };
  const gzip = /^Z_/.test(broken.code ?? "");
  const status = gzip ? 400 : (broken.statusCode ?? 500);
  if (status < 500) {
    turnAway(deps, request, BY_STATUS[status] ?? "protocol_error", broken.message.slice(0, 200));
    if (status === 413) reply.header("connection", "close");
    return sendProblem(reply, status, gzip ? "the body is not gzip" : broken.message);
  }
  throw error;
}

/** A request that never became one: answered on the bare socket. */
function turnAwayBroken(
  deps: HttpDeps,
  error: Error & { code?: string },
  socket: {
    remoteAddress?: string | undefined;
    writable: boolean;
    end(data: string): unknown;
    destroy(): unknown;
  },
): void {
  const answer = answerBroken(error, socket);
  if (!answer) return;
  deps.turnedAway({
    reason: answer.status === 408 ? "connect_timeout" : "protocol_error",
    detail: `HTTP: ${answer.title}`,
    source: "http",
    address: socket.remoteAddress ?? "unknown",
  });
}
