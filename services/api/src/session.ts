import { createHmac, randomBytes } from "node:crypto";
import type { User } from "@sluice/db";
import { errors, jwtVerify, SignJWT } from "jose";

/** How long a login lasts. */
export const SESSION_MS = 12 * 3_600_000;

const ISSUER = "sluice";
const AUDIENCE = "sluice-api";
const ALGORITHM = "HS256";

/** What a session token says, once it is verified. */
export interface SessionClaims {
  userId: number;
  sessionVersion: number;
  /** What a browser has to repeat in `x-csrf-token`. */
  csrf: string;
  expiresMs: number;
}

/** Signs and verifies session tokens (JWT, HS256 only, issuer, audience and expiry required). */
export interface Sessions {
  sign(user: Pick<User, "id" | "sessionVersion">): Promise<{ token: string; claims: SessionClaims }>;
  /** Undefined where it is not one of ours, was tampered with, or is over. */
  verify(token: string): Promise<SessionClaims | undefined>;
}

/** Creates sessions whose key is derived from the installation's pepper. */
export function createSessions(pepper: string, now: () => number = Date.now): Sessions {
  const key = createHmac("sha256", pepper).update("sluice session tokens v1").digest();
  return {
    async sign({ id, sessionVersion }) {
      const issuedS = Math.floor(now() / 1000);
      const expiresS = issuedS + SESSION_MS / 1000;
      const csrf = randomBytes(18).toString("base64url");
      const token = await new SignJWT({ ver: sessionVersion, csrf })
        .setProtectedHeader({ alg: ALGORITHM, typ: "JWT" })
        .setSubject(String(id))
        .setIssuer(ISSUER)
        .setAudience(AUDIENCE)
        .setIssuedAt(issuedS)
        .setExpirationTime(expiresS)
        .sign(key);
      return { token, claims: { userId: id, sessionVersion, csrf, expiresMs: expiresS * 1000 } };
    },
    async verify(token) {
      try {
        const { payload } = await jwtVerify(token, key, {
          algorithms: [ALGORITHM],
          issuer: ISSUER,
          audience: AUDIENCE,
          requiredClaims: ["sub", "exp", "iat"],
          currentDate: new Date(now()),
        });
        const { sub, ver, csrf, exp } = payload;
        if (typeof ver !== "number" || typeof csrf !== "string" || !/^\d+$/.test(sub ?? "")) return undefined;
        return { userId: Number(sub), sessionVersion: ver, csrf, expiresMs: (exp ?? 0) * 1000 };
      } catch (error) {
        if (error instanceof errors.JOSEError) return undefined;
        throw error;
      }
    },
  };
}
