import { createSecret } from "./secrets.ts";

/** OWASP's first choice for argon2id: 19 MiB, two passes, one lane. */
const COST = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };

/** Shortest password a person may choose. */
export const MIN_PASSWORD_LENGTH = 12;

// A native module: services that know no people do not load it.
const argon2 = () => import("@node-rs/argon2");

/** argon2id of a person's password as a PHC string. */
export async function hashPassword(password: string): Promise<string> {
  const { hash } = await argon2();
  return hash(password, COST);
}

let decoy: Promise<string> | undefined;

/** Whether `password` is the one of `stored`; takes as long where there is none, so that nobody learns who exists. */
export async function verifyPassword(stored: string | null | undefined, password: string): Promise<boolean> {
  const { verify } = await argon2();
  decoy ??= hashPassword(createSecret(24));
  const matches = await verify(stored ?? (await decoy), password);
  return matches && typeof stored === "string";
}
