import { setTimeout as delay } from "node:timers/promises";
import { sendProblem } from "@sluice/service-kit";
import type { Reason } from "@sluice/shared-types";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Brake } from "./brake.ts";
import type { LiveCredential } from "./credential-book.ts";
import type { Credentials } from "./credentials.ts";
import type { Door } from "./door.ts";

/** What authentication of requests needs. */
export interface AuthDeps {
  credentials: Credentials;
  brake: Brake;
  turnedAway: Door;
}

const WHO = new WeakMap<FastifyRequest, LiveCredential>();

/** The credential of an authenticated request. */
export function credentialOf(request: FastifyRequest): LiveCredential {
  const credential = WHO.get(request);
  if (!credential) throw new Error("request has passed without credential");
  return credential;
}

/**
 * Lets a request with the right key pass. Otherwise answers it: 401 alike for every wrong or missing key, later
 * and later for whoever keeps trying; 403 for a disabled device.
 */
export async function authenticate(
  deps: AuthDeps,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const given = keyOf(request);
  const { lookTwice, authenticateKey } = deps.credentials;
  const answer = given === undefined ? undefined : await lookTwice(() => authenticateKey(given));
  if (answer?.credential) {
    WHO.set(request, answer.credential);
    return;
  }
  if (answer?.reason === "device_disabled") {
    turnAway(deps, request, "device_disabled", "the device's credential is disabled");
    sendProblem(reply, 403, "the device is not active", { code: "device_disabled" });
    return;
  }
  turnAway(deps, request, "bad_credentials", given ? "API key is wrong" : "no API key");
  const waitMs = deps.brake.failed(request.ip, "http");
  if (waitMs === undefined) {
    sendProblem(reply.header("retry-after", "10"), 429, "too many wrong keys");
    return;
  }
  await delay(Math.min(waitMs, 5000));
  deps.brake.answered();
  const error = "Unauthorized - invalid or missing API key";
  sendProblem(reply, 401, error, { error, code: "bad_credentials" });
}

/** The one key of a request; undefined where there is none, several, or one in the URL, where it would be logged. */
function keyOf(request: FastifyRequest): string | undefined {
  const names = request.raw.rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
  if (names.filter((name) => name === "authorization" || name === "x-api-key").length !== 1) return undefined;
  if (/[?&](api[_-]?key|key|token)=/i.test(request.url)) return undefined;
  const header = request.headers["x-api-key"];
  if (typeof header === "string") return header === "" ? undefined : header;
  return /^Bearer (\S+)$/.exec(request.headers.authorization ?? "")?.[1];
}

/** Counts, logs and keeps a request that was refused before it was a message. */
export function turnAway(
  deps: AuthDeps,
  request: FastifyRequest,
  reason: Reason,
  detail: string,
  bytes?: Buffer,
): void {
  const user = WHO.get(request)?.username;
  deps.turnedAway({
    reason,
    detail,
    source: "http",
    address: request.ip,
    ...(user === undefined ? {} : { user }),
    ...(bytes ? { bytes } : {}),
  });
}
