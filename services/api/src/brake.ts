/** Slows down whoever guesses. */
export interface Brake {
  /** How long `key` has to wait before its next attempt is even looked at; 0 where it need not. */
  waitMs(key: string): number;
  failed(key: string): void;
  succeeded(key: string): void;
}

const FIRST_MS = 1000;
const MOST_MS = 5 * 60_000;
const FORGET_MS = 15 * 60_000;
const MAX_KEYS = 10_000;

/** `free` attempts; then the pause doubles from a second to five minutes. Forgets after a quarter of an hour. */
export function createBrake(free: number, now: () => number = Date.now): Brake {
  const tries = new Map<string, { failures: number; lastMs: number }>();
  const find = (key: string) => {
    const known = tries.get(key);
    if (known && now() - known.lastMs > FORGET_MS) tries.delete(key);
    return tries.get(key);
  };
  return {
    waitMs(key) {
      const known = find(key);
      if (!known || known.failures < free) return 0;
      const pauseMs = Math.min(FIRST_MS * 2 ** (known.failures - free), MOST_MS);
      return Math.max(0, known.lastMs + pauseMs - now());
    },
    failed(key) {
      const failures = (find(key)?.failures ?? 0) + 1;
      tries.delete(key);
      if (tries.size >= MAX_KEYS) tries.delete(tries.keys().next().value ?? "");
      tries.set(key, { failures, lastMs: now() });
    },
    succeeded: (key) => void tries.delete(key),
  };
}
