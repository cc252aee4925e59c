import { createHash } from "node:crypto";
import cookie from "@fastify/cookie";
import rateLimit from "@fastify/rate-limit";
import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { Metrics } from "@sluice/service-kit";
import { answerBroken, sendProblem } from "@sluice/service-kit";
import type { Resource } from "@sluice/shared-types";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { jsonSchemaTransform, validatorCompiler, type ZodTypeProvider } from "fastify-type-provider-zod";
import { type AuthDeps, authenticate } from "./authenticate.ts";
import { createBrake } from "./brake.ts";
import { addConsole } from "./console.ts";
import type { Deps } from "./deps.ts";
import { answerError } from "./errors.ts";
import { createForward } from "./forward.ts";
import { MAX_HEADER_BYTES, openListeners } from "./listeners.ts";
import { type Access, findPrincipal } from "./principal.ts";
import { Refusal } from "./refusal.ts";
import { addRoutes } from "./routes/index.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Who may use the route; one without it is not served at all. */
    access?: Access;
    /** What it answers changes seldom: it has an ETag, and is not sent again to who has it. */
    seldom?: true;
  }
}

/** A fastify whose routes are typed by their zod schemas. */
export type App = FastifyInstance<
  import("node:http").Server,
  import("node:http").IncomingMessage,
  import("node:http").ServerResponse,
  import("fastify").FastifyBaseLogger,
  ZodTypeProvider
>;

/** The open HTTP origin. */
export interface Server extends Resource {
  port: number;
  /** Its further ports, and its HTTPS port. */
  extraPorts: readonly number[];
  httpsPort: number | undefined;
  /** Every route with who may use it. */
  routes: readonly { method: string; url: string; access: Access }[];
}

/** Wrong keys of one address before it is slowed down: more than a site of devices has by mistake in a moment. */
const FREE_KEYS = 30;
const JSON_LIMIT = 256 * 1024;
const MAX_URL = 8192;

/**
 * Opens the one HTTP origin. Every route but the public ones needs a key or a session; errors are problem details
 * that also have `error` and `message`.
 */
export async function openServer(deps: Deps, metrics: Metrics): Promise<Server> {
  const { config, log } = deps;
  const app = createApp(deps);
  const routes: { method: string; url: string; access: Access }[] = [];
  const refusals = metrics.counter("api_refused_total", "Requests refused for who made them", ["why"]);
  const origins = [
    ...config.SLUICE_CORS_ORIGINS,
    ...(config.SLUICE_PUBLIC_URL ? [new URL(config.SLUICE_PUBLIC_URL).origin] : []),
  ];
  const auth: AuthDeps = {
    identities: deps.identities,
    brake: createBrake(FREE_KEYS),
    refused: (why) => refusals.inc({ why }),
    origins,
  };
  app.addHook("onRoute", (route) => {
    const docs = route.url.startsWith("/docs");
    if (docs) route.config = { ...route.config, access: "public" };
    const access = route.config?.access;
    if (access === undefined)
      throw new Error(`${String(route.method)} ${route.url} does not say who may use it`);
    for (const method of [route.method].flat()) routes.push({ method, url: route.url, access });
  });
  await app.register(cookie);
  addHooks(app, auth, config.SLUICE_CORS_ORIGINS);
  await addRateLimit(app, config.SLUICE_RATE_LIMIT);
  await addDocs(app);
  const allowed = createAllowed(routes);
  app.setNotFoundHandler((request, reply) => {
    const methods = allowed(request.url.split("?")[0] ?? "");
    if (methods.length === 0) return void sendProblem(reply, 404, "no such path", { code: "not_found" });
    reply.header("allow", methods.join(", "));
    return void sendProblem(reply, 405, `${request.method} is not possible here`);
  });
  // Before the routes: those that are there when a plugin is awaited keep the handler of that moment.
  app.setErrorHandler((error, request, reply) => void answerError(log, error, request, reply));
  addRoutes(app, deps, auth, createForward(config.SLUICE_GATEWAY_URL));
  await addConsole(app);
  await app.listen({ host: config.SLUICE_HOST, port: config.SLUICE_HTTP_PORT ?? 3001, backlog: 1024 });
  const more = await openListeners(app, {
    host: config.SLUICE_HOST,
    ports: config.SLUICE_EXTRA_PORTS,
    tls: tlsOf(config),
    maxConnections: config.SLUICE_MAX_CONNECTIONS,
  });
  const address = app.server.address();
  return {
    extraPorts: more.ports,
    httpsPort: more.httpsPort,
    port: typeof address === "object" && address ? address.port : 0,
    routes,
    ping: async () => {},
    close: async () => {
      await more.close();
      await app.close();
    },
  };
}

function tlsOf({ SLUICE_API_HTTPS_PORT, SLUICE_TLS_CERT, SLUICE_TLS_KEY }: Deps["config"]) {
  if (SLUICE_API_HTTPS_PORT === undefined) return undefined;
  if (!SLUICE_TLS_CERT || !SLUICE_TLS_KEY)
    throw new Error("SLUICE_API_HTTPS_PORT needs SLUICE_TLS_CERT and SLUICE_TLS_KEY");
  return { port: SLUICE_API_HTTPS_PORT, certFile: SLUICE_TLS_CERT, keyFile: SLUICE_TLS_KEY };
}

const LONG_WORK_MS = 30 * 60_000;

function createApp({ config }: Deps): App {
  const app = Fastify({
    // Behind a front everybody would share its address: who guesses would slow down all.
    trustProxy: config.SLUICE_TRUSTED_PROXIES,
    bodyLimit: JSON_LIMIT,
    requestTimeout: 15_000,
    connectionTimeout: 60_000,
    keepAliveTimeout: 30_000,
    maxRequestsPerSocket: 100_000,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: 200 },
    http: { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: 10_000, connectionsCheckingInterval: 2000 },
    clientErrorHandler: (error, socket) => void answerBroken(error, socket),
    frameworkErrors: (_error, _request, reply) =>
      void sendProblem(reply as unknown as FastifyReply, 400, "the URL cannot be read"),
  }).withTypeProvider<ZodTypeProvider>();
  app.server.maxConnections = config.SLUICE_MAX_CONNECTIONS;
  app.removeContentTypeParser("text/plain");
  app.setValidatorCompiler(validatorCompiler);
  // Schemas of answers are documentation: nothing is held back from them, or spent on checking ourselves.
  app.setSerializerCompiler(() => JSON.stringify);
  return app as unknown as App;
}

function addHooks(app: App, auth: AuthDeps, cors: readonly string[]): void {
  app.addHook("onRequest", async (request, reply) => {
    if (request.url.length > MAX_URL) return sendProblem(reply, 414, "the URL is too long");
    const { origin } = request.headers;
    reply.header("vary", "origin");
    if (origin === undefined || !cors.includes(origin)) return undefined;
    reply.header("access-control-allow-origin", origin);
    if (request.method !== "OPTIONS") return undefined;
    return reply
      .header("access-control-allow-methods", "GET, POST, PUT, PATCH, DELETE")
      .header("access-control-allow-headers", "content-type, x-api-key, authorization, idempotency-key")
      .header("access-control-max-age", "600")
      .code(204)
      .send();
  });
  app.addHook("onRequest", async (request, reply) => {
    const { access } = request.routeOptions.config;
    if (access !== undefined) return authenticate(auth, access, request, reply);
    return undefined;
  });
  app.addHook("preParsing", async (request, reply, payload) => {
    const charset = /charset\s*=\s*"?([^";\s]+)/i.exec(request.headers["content-type"] ?? "")?.[1];
    if (charset === undefined || /^utf-?8$/i.test(charset)) return payload;
    return sendProblem(reply, 415, "the body is in UTF-8");
  });
  // The connection timeout is for silent callers. Whoever has asked may wait for long work, such as a backfill.
  app.addHook("preHandler", async (request) => void request.raw.socket.setTimeout(LONG_WORK_MS));
  app.addHook("onSend", async (request, reply, payload) => {
    if (!request.routeOptions.config.seldom || reply.statusCode !== 200 || typeof payload !== "string")
      return payload;
    const etag = `"${createHash("sha1").update(payload).digest("base64url")}"`;
    reply.header("etag", etag).header("cache-control", "private, no-cache");
    if (request.headers["if-none-match"] !== etag) return payload;
    reply.code(304).removeHeader("content-length");
    return null;
  });
  app.addHook("onSend", async (_request, reply) => {
    const set = (name: string, value: string) => reply.hasHeader(name) || reply.header(name, value);
    set("content-security-policy", "default-src 'none'; frame-ancestors 'none'");
    set("cache-control", "no-store");
    set("x-content-type-options", "nosniff");
    set("x-frame-options", "DENY");
    set("referrer-policy", "no-referrer");
    set("cross-origin-resource-policy", "same-origin");
  });
}

async function addRateLimit(app: App, perMinute: number): Promise<void> {
  await app.register(rateLimit, {
    global: true,
    hook: "preHandler",
    max: perMinute,
    timeWindow: 60_000,
    cache: 20_000,
    keyGenerator: (request: FastifyRequest) => {
      const who = findPrincipal(request);
      if (!who) return `ip ${request.ip}`;
      return `${who.kind} ${who.kind === "device" ? who.username : who.id}`;
    },
    errorResponseBuilder: (_request, { max, ttl }) => {
      const seconds = Math.ceil(ttl / 1000);
      const message = `at most ${max} requests in this window; try again in ${seconds} s`;
      return new Refusal(429, message, {
        error: "Rate limit exceeded",
        retry_after: seconds,
        limit: max,
        window: 60,
      });
    },
  });
}

async function addDocs(app: App): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Sluice",
        version: "1",
        description:
          "Every route needs an API key (`X-API-Key`), or a session, unless it says that it is public.",
      },
      components: {
        securitySchemes: {
          key: { type: "apiKey", in: "header", name: "X-API-Key" },
          session: { type: "http", scheme: "bearer", bearerFormat: "JWT" },
        },
      },
      security: [{ key: [] }, { session: [] }],
    },
    transform: jsonSchemaTransform,
  });
  await app.register(swaggerUi, { routePrefix: "/docs", staticCSP: true });
}

/** Methods that a path would answer to. */
function createAllowed(routes: readonly { method: string; url: string }[]): (path: string) => string[] {
  let patterns: { method: string; pattern: RegExp }[] | undefined;
  return (path) => {
    patterns ??= routes.map(({ method, url }) => ({
      method,
      pattern: new RegExp(
        `^${url
          .replace(/[.+?^${}()|[\]\\]/g, "\\$&")
          .replace(/:[A-Za-z]+/g, "[^/]+")
          .replace(/\*/g, ".*")}$`,
      ),
    }));
    return [...new Set(patterns.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method))];
  };
}
