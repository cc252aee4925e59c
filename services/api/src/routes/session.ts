import { findUserByEmail, noteLogin, updateUser, verifyPassword, writeAudit } from "@sluice/db";
import { z } from "zod";
import { SESSION_COOKIE } from "../authenticate.ts";
import type { Deps } from "../deps.ts";
import { findPrincipal, principalOf, SCOPES_OF } from "../principal.ts";
import { Refusal } from "../refusal.ts";
import type { App } from "../server.ts";
import { SESSION_MS } from "../session.ts";
import { Password } from "./accounts.ts";

const Login = z.object({ email: z.string().min(3).max(254), password: z.string().min(1).max(1024) });

/** Passwords looked at together: each takes 19 MiB and a thread. */
const MAX_CHECKS = 8;

/** Logging in, out, and one's own password. */
export function addSessionRoutes(app: App, deps: Deps): void {
  const secure = deps.config.SLUICE_PUBLIC_URL?.startsWith("https:") ?? false;
  const cookie = { path: "/", httpOnly: true, sameSite: "strict", secure } as const;
  let checks = 0;
  app.post(
    "/api/v1/session",
    { config: { access: "public" }, schema: { body: Login } },
    async (request, reply) => {
      const { email, password } = request.body;
      const keys = [`login ${email.toLowerCase()} ${request.ip}`, `login ${request.ip}`];
      const waitMs = Math.max(...keys.map((key) => deps.brake.waitMs(key)));
      if (waitMs > 0 || checks >= MAX_CHECKS) {
        const seconds = Math.max(1, Math.ceil(waitMs / 1000));
        throw new Refusal(
          429,
          "too many attempts",
          { retry_after: seconds },
          { "retry-after": String(seconds) },
        );
      }
      checks++;
      try {
        const user = await findUserByEmail(deps.db, email);
        const right = await verifyPassword(user?.passwordHash, password);
        const address = request.ip.replace(/^::ffff:/, "");
        if (!user || !right || user.status !== "active") {
          for (const key of keys) deps.brake.failed(key);
          await writeAudit(deps.db, {
            event: "login.failed",
            severity: "warning",
            entityType: "user",
            ...(user ? { entityId: `${user.id}` } : {}),
            address,
          });
          throw new Refusal(401, "address or password is wrong", { code: "bad_credentials" });
        }
        for (const key of keys) deps.brake.succeeded(key);
        await noteLogin(deps.db, user.id);
        await writeAudit(deps.db, {
          event: "login",
          entityType: "user",
          entityId: `${user.id}`,
          userId: user.id,
          address,
        });
        const { token, claims } = await deps.sessions.sign(user);
        reply.setCookie(SESSION_COOKIE, token, { ...cookie, maxAge: SESSION_MS / 1000 });
        return {
          token,
          csrf: claims.csrf,
          expires: new Date(claims.expiresMs).toISOString(),
          user: { id: user.id, email: user.email, role: user.role, scopes: SCOPES_OF[user.role] },
        };
      } finally {
        checks--;
      }
    },
  );
  app.get("/api/v1/session", { config: { access: "device" } }, async (request) => {
    const principal = principalOf(request);
    const { kind, scopes, devices } = principal;
    const own = principal.kind === "person" ? { email: principal.email, csrf: principal.csrf } : {};
    return { kind, scopes, devices, ...own };
  });
  app.delete("/api/v1/session", { config: { access: "device" } }, async (request, reply) => {
    const principal = findPrincipal(request);
    // The token itself is void as well, and with it every other session of this person.
    if (principal?.kind === "person") await updateUser(deps.db, principal.id, {}, { userId: principal.id });
    return reply.clearCookie(SESSION_COOKIE, cookie).code(204).send();
  });
  const Change = z.object({ current: z.string().max(1024), password: Password });
  app.put(
    "/api/v1/session/password",
    { config: { access: "read" }, schema: { body: Change } },
    async (request, reply) => {
      const principal = principalOf(request);
      if (principal.kind !== "person") throw new Refusal(403, "only people have passwords");
      const key = `password ${principal.id}`;
      if (deps.brake.waitMs(key) > 0) throw new Refusal(429, "too many attempts");
      const user = await findUserByEmail(deps.db, principal.email);
      if (!(await verifyPassword(user?.passwordHash, request.body.current))) {
        deps.brake.failed(key);
        throw new Refusal(403, "the current password is wrong");
      }
      await updateUser(deps.db, principal.id, { password: request.body.password }, { userId: principal.id });
      return reply.clearCookie(SESSION_COOKIE, cookie).code(204).send();
    },
  );
}
