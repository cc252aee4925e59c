import type { FastifyRequest } from "fastify";
import { maySee, principalOf } from "./principal.ts";
import { Refusal } from "./refusal.ts";

/** Makes sure that whoever asks may see `device`: the answer does not tell whether it exists. */
export function requireDevice(request: FastifyRequest, device: string): void {
  if (!maySee(principalOf(request), device)) {
    throw new Refusal(403, "this key may not speak for that device", { code: "not_authorised" });
  }
}

/** Makes sure that whoever asks may change `device`: a device its own, anybody else with the scope `write`. */
export function requireDeviceChange(request: FastifyRequest, device: string): void {
  requireDevice(request, device);
  const principal = principalOf(request);
  if (principal.kind !== "device" && !principal.scopes.includes("write")) {
    throw new Refusal(403, "this needs the scope 'write'", { code: "not_authorised" });
  }
}
