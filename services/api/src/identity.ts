import { type Db, findApiKey, findDeviceKey, findUser, noteKeyUse, PROGRAM_KEY_PREFIX } from "@sluice/db";
import { type Principal, SCOPES_OF, withIncluded } from "./principal.ts";
import type { Sessions } from "./session.ts";

/** How long a revocation may take to be noticed. */
const TRUST_MS = 3000;
const MAX_CACHED = 10_000;
const LONGEST_KEY = 512;

/** What came of looking at a key or token. */
export type Identification = { principal: Principal } | { refused: "unknown" | "disabled" | "expired" };

/** Tells who a key or session token belongs to. What it knows it asks again after three seconds. */
export interface Identities {
  ofKey(key: string): Promise<Identification>;
  ofSession(token: string): Promise<Identification>;
}

/** Creates identities over the accounts in `db`. */
export function createIdentities(db: Db, pepper: string, sessions: Sessions): Identities {
  const cache = createCache<Identification>();
  const readKey = async (key: string): Promise<Identification> => {
    if (key.startsWith(PROGRAM_KEY_PREFIX)) return readProgramKey(db, pepper, key);
    const device = await findDeviceKey(db, pepper, key);
    if (!device) return { refused: "unknown" };
    if (device.status !== "active") return { refused: "disabled" };
    const { username, devices } = device;
    return {
      principal: { kind: "device", username, devices, scopes: [], expiresMs: Number.POSITIVE_INFINITY },
    };
  };
  return {
    ofKey: (key) =>
      key.length > LONGEST_KEY
        ? Promise.resolve({ refused: "unknown" } as const)
        : cache(`key ${key}`, () => readKey(key)),
    ofSession: (token) =>
      token.length > 4 * LONGEST_KEY
        ? Promise.resolve({ refused: "unknown" } as const)
        : cache(`session ${token}`, async () => {
            const claims = await sessions.verify(token);
            const user = claims && (await findUser(db, claims.userId));
            if (!claims || !user || user.sessionVersion !== claims.sessionVersion)
              return { refused: "unknown" };
            if (user.status !== "active") return { refused: "disabled" };
            const { id, email, role, sessionVersion } = user;
            const { csrf, expiresMs } = claims;
            const scopes = SCOPES_OF[role];
            return {
              principal: {
                kind: "person",
                id,
                email,
                sessionVersion,
                csrf,
                scopes,
                devices: null,
                expiresMs,
              },
            };
          }),
  };
}

async function readProgramKey(db: Db, pepper: string, key: string): Promise<Identification> {
  const found = await findApiKey(db, pepper, key);
  if (!found || found.revokedAt) return { refused: "unknown" };
  const expiresMs = found.expiresAt?.getTime() ?? Number.POSITIVE_INFINITY;
  if (expiresMs <= Date.now()) return { refused: "expired" };
  await noteKeyUse(db, found.id);
  const { id, name, scopes, devices } = found;
  return { principal: { kind: "key", id, name, scopes: withIncluded(scopes), devices, expiresMs } };
}

/** Remembers what is known for a moment, and asks once for all who want to know at the same time. */
function createCache<T extends Identification>() {
  const known = new Map<string, { until: number; value: Promise<T> }>();
  return (key: string, ask: () => Promise<T>): Promise<T | { refused: "expired" }> => {
    const nowMs = Date.now();
    const entry = known.get(key);
    if (entry && entry.until > nowMs) return entry.value.then(stillGood);
    if (known.size >= MAX_CACHED) known.clear();
    const value = ask();
    known.set(key, { until: nowMs + TRUST_MS, value });
    value.then(
      // wrong ones are not remembered: a stranger must not fill the memory
      (answer) => "refused" in answer && known.delete(key),
      () => known.delete(key),
    );
    return value.then(stillGood);
  };
}

function stillGood<T extends Identification>(answer: T): T | { refused: "expired" } {
  return "principal" in answer && answer.principal.expiresMs <= Date.now() ? { refused: "expired" } : answer;
}
