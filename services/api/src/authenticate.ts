import { setTimeout as delay } from "node:timers/promises";
import { sendProblem } from "@sluice/service-kit";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Brake } from "./brake.ts";
import type { Identification, Identities } from "./identity.ts";
import { type Access, identify, type Principal } from "./principal.ts";

/** Name of the cookie a browser's session is in. */
export const SESSION_COOKIE = "sluice_session";

/** What authentication needs. */
export interface AuthDeps {
  identities: Identities;
  brake: Brake;
  /** Counts a refused attempt. */
  refused(why: string): void;
  /** Origins that browsers may use us from; our own is always one. */
  origins: readonly string[];
}

const SAFE = new Set(["GET", "HEAD", "OPTIONS"]);
const WRONG_KEY_MS = 250;

/**
 * Lets a request pass whose key or session is good and has the scope that the route asks for; otherwise answers it:
 * 401 alike for whatever is wrong with the key, 403 for a scope that is missing, a disabled account or another site's
 * form, 429 for whoever keeps guessing.
 */
export async function authenticate(
  deps: AuthDeps,
  access: Access,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  if (access === "public") return undefined;
  const given = credentialOf(request);
  const waitMs = given === undefined ? 0 : deps.brake.waitMs(`key ${request.ip}`);
  // A good key passes even while its address is slowed down for others' guesses.
  const answer: Identification = given === undefined ? { refused: "unknown" } : await look(deps, given);
  if ("refused" in answer) return refuse(deps, request, reply, answer.refused, given !== undefined, waitMs);
  const { principal } = answer;
  const strange = given?.kind === "cookie" ? foreignForm(deps, request, principal) : undefined;
  if (strange !== undefined) {
    deps.refused("csrf");
    return sendProblem(reply, 403, strange, { code: "csrf" });
  }
  if (access !== "device" && !principal.scopes.includes(access)) {
    deps.refused("scope");
    return sendProblem(reply, 403, `this needs the scope '${access}'`, { code: "not_authorised" });
  }
  if (access === "device" && principal.kind !== "device" && !principal.scopes.includes("read")) {
    deps.refused("scope");
    return sendProblem(reply, 403, "this needs the scope 'read'", { code: "not_authorised" });
  }
  identify(request, principal);
  return undefined;
}

type Given = { kind: "key" | "bearer" | "cookie"; secret: string };

/** The one credential of a request; undefined where there is none, or several, or one in the URL, where it would be logged. */
function credentialOf(request: FastifyRequest): Given | undefined {
  const names = request.raw.rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
  const count = names.filter((name) => name === "authorization" || name === "x-api-key").length;
  if (count > 1 || /[?&](api[_-]?key|key|token)=/i.test(request.url)) return undefined;
  const key = request.headers["x-api-key"];
  if (typeof key === "string") return key === "" ? undefined : { kind: "key", secret: key };
  const bearer = /^(?:Bearer|admin) (\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
  if (count === 1) return bearer === undefined ? undefined : { kind: "bearer", secret: bearer };
  const cookie = request.cookies[SESSION_COOKIE];
  return cookie === undefined || cookie === "" ? undefined : { kind: "cookie", secret: cookie };
}

function look({ identities }: AuthDeps, { kind, secret }: Given): Promise<Identification> {
  const token = kind === "cookie" || (kind === "bearer" && secret.split(".").length === 3);
  return token ? identities.ofSession(secret) : identities.ofKey(secret);
}

async function refuse(
  deps: AuthDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  why: "unknown" | "disabled" | "expired",
  tried: boolean,
  waitMs: number,
): Promise<unknown> {
  deps.refused(why);
  if (why === "disabled")
    return sendProblem(reply, 403, "the account is not active", { code: "device_disabled" });
  if (tried) deps.brake.failed(`key ${request.ip}`);
  if (waitMs > 0) {
    const seconds = Math.ceil(waitMs / 1000);
    return sendProblem(reply.header("retry-after", String(seconds)), 429, "too many wrong keys", {
      retry_after: seconds,
    });
  }
  if (tried) await delay(WRONG_KEY_MS);
  const error = "Unauthorized - invalid or missing API key";
  reply.header("www-authenticate", "Bearer");
  return sendProblem(reply, 401, error, { error, code: "bad_credentials" });
}

/** Why a change by cookie did not come from our own pages; undefined where it did, or changes nothing. */
function foreignForm(deps: AuthDeps, request: FastifyRequest, principal: Principal): string | undefined {
  if (SAFE.has(request.method)) return undefined;
  const { origin, host } = request.headers;
  if (origin !== undefined && !deps.origins.includes(origin) && !sameHost(origin, host)) {
    return "the request comes from another site";
  }
  const token = request.headers["x-csrf-token"];
  if (principal.kind !== "person" || token !== principal.csrf)
    return "the header x-csrf-token is missing or wrong";
  return undefined;
}

function sameHost(origin: string, host: string | undefined): boolean {
  return URL.canParse(origin) && new URL(origin).host === host;
}
