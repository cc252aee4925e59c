import type { Actor, Role, Scope } from "@sluice/db";
import type { FastifyRequest } from "fastify";

/** Who makes a request. */
export type Principal = (
  | { kind: "person"; id: number; email: string; sessionVersion: number; csrf: string }
  | { kind: "key"; id: number; name: string }
  | { kind: "device"; username: string }
) & {
  /** What it may do: every scope it has. A device has none: it may only see and send its own. */
  scopes: readonly Scope[];
  /** Nothing but these devices; null: all. */
  devices: readonly string[] | null;
  /** When it stops being one, milliseconds since the epoch. */
  expiresMs: number;
};

/** Who may use a route: anybody, any key of a device too, or whoever has the scope. */
export type Access = "public" | "device" | Scope;

/** The scopes a role stands for. */
export const SCOPES_OF: Record<Role, readonly Scope[]> = {
  viewer: ["read"],
  operator: ["read", "write"],
  admin: ["read", "write", "admin"],
};

/** Everything that comes with `scopes`: write includes read, admin both. */
export function withIncluded(scopes: readonly Scope[]): Scope[] {
  if (scopes.includes("admin")) return ["read", "write", "admin"];
  return scopes.includes("write") ? ["read", "write"] : [...scopes];
}

/** Whether `principal` may see `device`. */
export function maySee(principal: Principal, device: string): boolean {
  return principal.devices === null || principal.devices.includes(device);
}

const WHO = new WeakMap<FastifyRequest, Principal>();

/** Notes who makes a request. */
export function identify(request: FastifyRequest, principal: Principal): void {
  WHO.set(request, principal);
}

/** Who makes a request that is not public. */
export function principalOf(request: FastifyRequest): Principal {
  const principal = WHO.get(request);
  if (!principal) throw new Error(`${request.method} ${request.routeOptions.url} let a stranger pass`);
  return principal;
}

/** Who makes a request; undefined on public routes, and where nobody is known yet. */
export const findPrincipal = (request: FastifyRequest): Principal | undefined => WHO.get(request);

/** As it stands in the audit log. */
export function actorOf(request: FastifyRequest): Actor {
  const principal = principalOf(request);
  const address = request.ip.replace(/^::ffff:/, "");
  if (principal.kind === "person") return { userId: principal.id, address };
  const by =
    principal.kind === "key"
      ? `key ${principal.name} (${principal.id})`
      : `device credential ${principal.username}`;
  return { address, data: { by } };
}
