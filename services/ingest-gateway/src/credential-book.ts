import { timingSafeEqual } from "node:crypto";
import { hashSecret } from "@sluice/db";
import type { Credential } from "@sluice/shared-types";

/** A credential as it is now; replaced, never changed, when the database changes. */
export interface LiveCredential extends Credential {
  owns(device: string): boolean;
}

/** Answer to somebody who says who he is. */
export type Authentication =
  | { credential: LiveCredential; hash: string }
  | { credential?: undefined; reason: "bad_credentials" | "device_disabled" };

/** The credentials in force, and what can be asked of them. Pure but for the clock. */
export function createCredentialBook(pepper: string) {
  let byName = new Map<string, LiveCredential>();
  let byKey = new Map<string, LiveCredential>();
  let byDevice = new Map<string, LiveCredential>();
  let fingerprint = "";
  const listeners: (() => void)[] = [];
  const nobody = hashSecret(pepper, "nobody");

  const replace = (list: readonly Credential[]) => {
    const text = JSON.stringify(list);
    if (text === fingerprint) return;
    fingerprint = text;
    byName = new Map();
    byKey = new Map();
    byDevice = new Map();
    for (const item of list) {
      const owned = new Set(item.devices);
      const live: LiveCredential = { ...item, owns: (device) => owned.has(device) };
      byName.set(item.username, live);
      for (const hash of [item.apiKeyHash, ...item.previous.map((p) => p.hash)]) {
        if (hash !== undefined) byKey.set(hash, live);
      }
      for (const device of item.devices) byDevice.set(device, live);
    }
    for (const listener of listeners) listener();
  };
  const outcome = (credential: LiveCredential, hash: string): Authentication =>
    credential.status === "active" ? { credential, hash } : { reason: "device_disabled" };

  return {
    replace,
    replaceIfEmpty(list: readonly Credential[]) {
      if (fingerprint === "") replace(list);
    },
    onChange: (listener: () => void) => void listeners.push(listener),
    authenticate(username: string, password: string): Authentication {
      const hash = hashSecret(pepper, password);
      const credential = byName.get(username);
      if (!credential) {
        isSame(hash, nobody); // the same work as for a known user
        return { reason: "bad_credentials" };
      }
      return accepts(credential, hash) ? outcome(credential, hash) : { reason: "bad_credentials" };
    },
    authenticateKey(key: string): Authentication {
      const hash = hashSecret(pepper, key);
      const credential = byKey.get(hash);
      const usable = credential && isKey(credential, hash);
      return usable ? outcome(credential, hash) : { reason: "bad_credentials" };
    },
    renew(username: string, hash: string) {
      const credential = byName.get(username);
      return credential?.status === "active" && accepts(credential, hash) ? credential : undefined;
    },
    findOwner: (device: string) => byDevice.get(device),
    checkApiKey(key: string, device: string) {
      const credential = byDevice.get(device);
      return credential !== undefined && isKey(credential, hashSecret(pepper, key));
    },
  };
}

const isSame = (a: string, b: string) =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));

function isKey(credential: Credential, hash: string): boolean {
  const now = Date.now();
  if (credential.apiKeyHash !== undefined && isSame(hash, credential.apiKeyHash)) return true;
  return credential.previous.some((p) => p.validUntilMs > now && isSame(hash, p.hash));
}

function accepts(credential: Credential, hash: string): boolean {
  return isSame(hash, credential.passwordHash) || isKey(credential, hash);
}
