import { createHash } from "node:crypto";
import type { KeyValue } from "@sluice/bus";
import { InvalidInputError } from "@sluice/shared-types";

/** What was answered. */
export interface Answer {
  status: number;
  body: Record<string, unknown>;
}

/** A request that may have come before. */
export interface Attempt {
  /** When it first came, microseconds. */
  arrivedUs: number;
  /** What it was answered then, if it was. */
  answer?: Answer;
  /** Keeps the answer for those that come after. */
  settle(answer: Answer): Promise<void>;
}

interface Kept {
  digest: string;
  arrivedUs: number;
  answer?: Answer;
}

const KEPT_MS = 24 * 3_600_000;
const KEY = /^[\x21-\x7e]{1,255}$/;

/** Looks requests up by their `Idempotency-Key`, per user, for a day. */
export function createIdempotency(keyValue: Pick<KeyValue, "reserve" | "settle">) {
  /**
   * Notes the request or finds its first attempt.
   * @throws InvalidInputError `idempotency_mismatch` where the key came with another body, `bad_value` where it is none
   */
  return async (
    request: { user: string; key: string; path: string; body: Buffer },
    arrivedUs: number,
  ): Promise<Attempt> => {
    if (!KEY.test(request.key)) {
      throw new InvalidInputError(
        "bad_value",
        "Idempotency-Key is 1-255 printable characters without spaces",
      );
    }
    const name = hash(`${request.user}\n${request.key}`);
    const key = `sluice:idempotency:{0}:${name}`;
    const own: Kept = { digest: hash(`${request.path}\n`, request.body), arrivedUs };
    const kept = JSON.parse(await keyValue.reserve(key, "first", JSON.stringify(own), KEPT_MS)) as Kept;
    if (kept.digest !== own.digest) {
      throw new InvalidInputError(
        "idempotency_mismatch",
        "this Idempotency-Key came with another request before",
      );
    }
    return {
      arrivedUs: kept.arrivedUs,
      ...(kept.answer ? { answer: kept.answer } : {}),
      settle: (answer) => keyValue.settle(key, "first", JSON.stringify({ ...kept, answer })),
    };
  };
}

function hash(...parts: (string | Buffer)[]): string {
  const sum = createHash("sha256");
  for (const part of parts) sum.update(part);
  return sum.digest("base64url");
}
