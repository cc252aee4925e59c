import { createHmac, randomBytes } from "node:crypto";

const ALPHANUMERIC = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/** What every API key of a device begins with, so that a leaked one is recognised. */
export const API_KEY_PREFIX = "slk_";

/**
 * Hex HMAC-SHA-256 of a generated secret under the installation's pepper: what is stored and compared.
 * Only for secrets of 128 bits or more; people's passwords need a slow hash.
 */
export function hashSecret(pepper: string, secret: string): string {
  return createHmac("sha256", pepper).update(secret).digest("hex");
}

/** A random string of letters and digits; 22 characters carry 130 bits. */
export function createSecret(length: number): string {
  let text = "";
  while (text.length < length) {
    // 248 is the largest multiple of 62 in a byte: beyond it some letters would be likelier
    for (const byte of randomBytes(length * 2)) if (byte < 248) text += ALPHANUMERIC[byte % 62];
  }
  return text.slice(0, length);
}
