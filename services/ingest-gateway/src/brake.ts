/** Slows down guessing of secrets. Whoever has the right secret is never held up by the guesses of others. */
export interface Brake {
  /** Notes a failure and says how long to withhold its answer; undefined where too many are withheld already. */
  failed(address: string, user: string): number | undefined;
  /** The answer that was withheld is given. */
  answered(): void;
}

const FREE = 3;
const FIRST_MS = 200;
const LONGEST_MS = 10_000;
const FORGET_MS = 600_000;
const MAX_KEYS = 20_000;
const MAX_HELD = 2000;

/** Counts failures per address and user; bounded memory, forgotten after ten quiet minutes. */
export function createBrake(alarm: (address: string, user: string, failures: number) => void): Brake {
  const failures = new Map<string, { count: number; atMs: number }>();
  let held = 0;
  return {
    failed(address, user) {
      const key = `${address} ${user.slice(0, 128)}`;
      const nowMs = Date.now();
      const last = failures.get(key);
      const count = last && nowMs - last.atMs < FORGET_MS ? last.count + 1 : 1;
      failures.delete(key);
      if (failures.size >= MAX_KEYS) failures.delete(failures.keys().next().value ?? "");
      failures.set(key, { count, atMs: nowMs });
      if (count % 100 === 10) alarm(address, user, count);
      if (held >= MAX_HELD) return undefined;
      held++;
      return count <= FREE ? 0 : Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(count - FREE - 1, 10));
    },
    answered() {
      held--;
    },
  };
}
