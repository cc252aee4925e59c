import { createHmac } from "node:crypto";

/**
 * The header `Sluice-Signature` of a webhook: `t=` seconds since 1970, `v1=` hex HMAC-SHA-256 of `{t}.{body}` under the
 * channel's secret. A receiver that also looks at the time cannot be sent an old body again.
 */
export function signWebhook(secret: string, body: string, atMs: number): string {
  const seconds = Math.floor(atMs / 1000);
  const digest = createHmac("sha256", secret).update(`${seconds}.${body}`).digest("hex");
  return `t=${seconds},v1=${digest}`;
}
