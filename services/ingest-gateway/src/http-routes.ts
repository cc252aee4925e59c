import { sendProblem } from "@sluice/service-kit";
import { InvalidInputError, OutageError, PAYLOAD_LIMITS, type Reason } from "@sluice/shared-types";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Arrivals } from "./arrival.ts";
import { credentialOf } from "./http-auth.ts";
import type { Answer, Attempt } from "./idempotency.ts";
import type { Ingest, Verdict } from "./ingest.ts";
import type { Outcomes } from "./outcomes.ts";
import type { Quota } from "./quota.ts";

/** What the routes need. */
export interface RouteDeps {
  ingest: Ingest;
  quota: Quota;
  /** Tells of a request that was over its quota. */
  overQuota(request: FastifyRequest): void;
  arrivals: Arrivals;
  outcomes: Outcomes;
  attempt(
    request: { user: string; key: string; path: string; body: Buffer },
    arrivedUs: number,
  ): Promise<Attempt>;
}

/** What became of a request: one verdict for each of its messages. */
interface Taken {
  verdicts: Verdict[];
  body: Buffer;
}

type Answering = (taken: Taken, request: FastifyRequest) => Answer;

const OVER_QUOTA = "the device sends more than its allowance";
const APPEND_TIMEOUT_MS = 8000;
const STORED_TIMEOUT_MS = 10_000;

/** Adds the ingest routes: our own, and those of documents A and B with their codes and bodies. */
export function addRoutes(app: FastifyInstance, deps: RouteDeps): void {
  app.get("/api/v1/now", async () => {
    const epochMs = Date.now();
    return { epochMs, epochS: Math.floor(epochMs / 1000), iso: new Date(epochMs).toISOString() };
  });
  const take = (topic: string, answering: Answering) => (request: FastifyRequest, reply: FastifyReply) =>
    serve(deps, topic, answering, request, reply);
  app.post("/api/v1/ingest", take("http/telemetry", ourAnswer));
  app.post("/api/v1/devices/telemetry", take("http/telemetry", documentB));
  app.post("/api/v1/influxdb/telemetry", take("http/telemetry", documentB));
  app.post("/api/v1/influxdb/telemetry/batch", take("http/telemetry", documentB));
  app.post("/api/data", take("http/data", documentA));
}

async function serve(
  deps: RouteDeps,
  topic: string,
  answering: Answering,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
  const messages = messagesOf(body);
  const user = credentialOf(request).username;
  for (const { length } of messages) {
    if (deps.quota.take(user, length)) continue;
    deps.overQuota(request);
    const retryAfterS = Math.max(1, Math.ceil(deps.quota.restMs(user) / 1000));
    const extra = { code: "quota_exceeded", retry_after: retryAfterS };
    return sendProblem(reply.header("retry-after", String(retryAfterS)), 429, OVER_QUOTA, extra);
  }
  const key = request.headers["idempotency-key"];
  const path = request.url.split("?")[0] ?? "";
  const attempt =
    key === undefined
      ? undefined
      : await deps.attempt(
          { user, key: String(key), path, body },
          deps.arrivals.take(`http:${user}`, messages.length),
        );
  if (attempt?.answer) return reply.code(attempt.answer.status).send(attempt.answer.body);
  const wantsStored = (request.query as Record<string, unknown>).ack === "stored";
  const stored = wantsStored ? expectStored(deps.outcomes, messages.length) : undefined;
  const verdicts = await inTime(
    Promise.all(
      messages.map((payload, i) =>
        deps.ingest.accept({
          topic,
          payload,
          qos: 1,
          dup: false,
          credential: credentialOf(request),
          source: "http",
          ...(attempt ? { arrivedUs: attempt.arrivedUs + i } : {}),
          ...(stored ? { notify: stored.references[i] ?? "" } : {}),
        }),
      ),
    ),
  );
  const answer = verdicts.some((verdict) => verdict.accepted)
    ? answering({ verdicts, body }, request)
    : refusedAnswer(verdicts);
  if (stored && answer.status < 300) await stored.complete(verdicts, answer);
  await attempt?.settle(answer);
  if (answer.status < 300) return reply.code(answer.status).send(answer.body);
  const { detail, ...extra } = answer.body;
  return sendProblem(reply, answer.status, String(detail), extra);
}

/** One message, or one for each of document B's `points`. */
function messagesOf(body: Buffer): Buffer[] {
  if (!body.includes('"points"')) return [body];
  let json: unknown;
  try {
    json = JSON.parse(body.toString("utf8"));
  } catch {
    return [body];
  }
  const points = (json as { points?: unknown } | null)?.points;
  if (!Array.isArray(points)) return [body];
  if (points.length === 0) throw new InvalidInputError("no_readings", "points is empty");
  if (points.length > PAYLOAD_LIMITS.samples) {
    throw new InvalidInputError("too_many_samples", `more than ${PAYLOAD_LIMITS.samples} points`);
  }
  return points.map((point: unknown) => Buffer.from(JSON.stringify(fromPoint(point))));
}

function fromPoint(point: unknown): unknown {
  if (typeof point !== "object" || point === null || !("fields" in point)) return point;
  const { measurement, fields, tags, ...rest } = point as Record<string, unknown>;
  return { ...rest, type: measurement, data: fields, metadata: tags };
}

/** Waits for the append, but not for ever: a client must hear that it is not taken. */
async function inTime<T>(promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new OutageError("bus", "the append takes too long", 5000)),
      APPEND_TIMEOUT_MS,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

let requests = 0;

/** Listens for what becomes of each message, from before it is sent. */
function expectStored(outcomes: Outcomes, count: number) {
  const number = ++requests;
  const references = Array.from({ length: count }, (_, i) => `${outcomes.instance}/${number}.${i}`);
  const waits = references.map((reference) => outcomes.wait(reference, STORED_TIMEOUT_MS));
  return {
    references,
    async complete(verdicts: readonly Verdict[], answer: Answer) {
      const told = await Promise.all(waits.filter((_, i) => verdicts[i]?.accepted));
      const all = told.every((outcome) => outcome !== undefined);
      answer.status = all ? 201 : 202;
      answer.body.level = all ? "stored" : "accepted";
      if (all) answer.body.outcomes = told.map((outcome) => outcome?.level);
    },
  };
}

const refusalsOf = (verdicts: readonly Verdict[]) =>
  verdicts.flatMap((verdict, point) =>
    verdict.refusals.map((refusal) => (verdicts.length > 1 ? { point, ...refusal } : refusal)),
  );

const ourAnswer: Answering = ({ verdicts }) => {
  const [first] = verdicts;
  const refused = refusalsOf(verdicts);
  return {
    status: 202,
    body: {
      level: "accepted",
      ...(verdicts.length === 1
        ? identityOf(first)
        : { accepted: verdicts.filter((v) => v.accepted).length }),
      ids: verdicts.flatMap(({ id }) => (id === undefined ? [] : [id])),
      ...(refused.length > 0 ? { refused } : {}),
    },
  };
};

const identityOf = (verdict: Verdict | undefined) => ({
  device: verdict?.device,
  ...(verdict?.boot === undefined ? {} : { boot: verdict.boot }),
  ...(verdict?.seq === undefined ? {} : { seq: verdict.seq }),
});

const documentB: Answering = ({ verdicts }) => {
  const refused = refusalsOf(verdicts);
  return {
    status: 201,
    body: {
      message: "Telemetry data received successfully",
      device_id: verdicts.find((verdict) => verdict.accepted)?.device,
      count: verdicts.filter((verdict) => verdict.accepted).length,
      timestamp: new Date().toISOString(),
      ...(refused.length > 0 ? { refused } : {}),
    },
  };
};

/** Rules and analytics are evaluated behind the bus, not inside the device's request. */
const documentA: Answering = ({ body, verdicts }) => {
  const data: unknown = JSON.parse(body.toString("utf8"), (key, value) =>
    key === "api_key" ? undefined : value,
  );
  const refused = refusalsOf(verdicts);
  return {
    status: 201,
    body: {
      status: "saved",
      data,
      triggered_rules: [],
      analytics: {},
      ...(refused.length > 0 ? { refused } : {}),
    },
  };
};

const STATUS: Partial<Record<Reason, number>> = {
  too_large: 413,
  not_authorised: 403,
  device_mismatch: 403,
  device_disabled: 403,
  bad_api_key: 401,
};

function refusedAnswer(verdicts: readonly Verdict[]): Answer {
  const refused = refusalsOf(verdicts);
  const [first] = refused;
  return {
    status: STATUS[first?.reason ?? "bad_value"] ?? 400,
    body: { detail: first?.detail ?? "refused", code: first?.reason, refused },
  };
}
