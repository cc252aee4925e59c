/** What each device may send, so that one that runs wild costs the others nothing. */
export interface Quota {
  /** Takes a message of `bytes` from the device's allowance; false where it is used up. */
  take(device: string, bytes: number): boolean;
  /** How long to leave the device's connection unread until half of its allowance is back; 0 where there is no need. */
  restMs(device: string): number;
}

/** Allowance of one device. */
export interface QuotaOptions {
  /** 0 means no limit. */
  messagesPerSecond: number;
  /** 0 means no limit. */
  bytesPerSecond: number;
}

/** A device that was away may send so many seconds' worth at once. */
const BURST_SECONDS = 10;
const MAX_DEVICES = 200_000;
const LONGEST_REST_MS = 2000;

interface Bucket {
  messages: number;
  bytes: number;
  atMs: number;
}

/** Creates token buckets, one per device; those that are full again are forgotten first. */
export function createQuota(options: QuotaOptions, now: () => number = () => performance.now()): Quota {
  const rates = {
    messages: options.messagesPerSecond === 0 ? Number.POSITIVE_INFINITY : options.messagesPerSecond,
    bytes: options.bytesPerSecond === 0 ? Number.POSITIVE_INFINITY : options.bytesPerSecond,
  };
  const buckets = new Map<string, Bucket>();
  const unlimited = options.messagesPerSecond === 0 && options.bytesPerSecond === 0;
  const fill = (device: string): Bucket => {
    const nowMs = now();
    let bucket = buckets.get(device);
    if (!bucket) {
      if (buckets.size >= MAX_DEVICES) forget(buckets, nowMs);
      bucket = { messages: rates.messages * BURST_SECONDS, bytes: rates.bytes * BURST_SECONDS, atMs: nowMs };
      buckets.set(device, bucket);
    }
    const seconds = (nowMs - bucket.atMs) / 1000;
    bucket.messages = Math.min(rates.messages * BURST_SECONDS, bucket.messages + rates.messages * seconds);
    bucket.bytes = Math.min(rates.bytes * BURST_SECONDS, bucket.bytes + rates.bytes * seconds);
    bucket.atMs = nowMs;
    return bucket;
  };
  return {
    take(device, bytes) {
      if (unlimited) return true;
      const bucket = fill(device);
      if (bucket.messages < 1 || bucket.bytes <= 0) return false;
      bucket.messages -= 1;
      bucket.bytes -= bytes; // may go below nothing: a large message is paid for afterwards
      return true;
    },
    restMs(device) {
      const bucket = unlimited ? undefined : buckets.get(device);
      if (!bucket) return 0;
      const waitMs = (rate: number, left: number) =>
        Number.isFinite(rate) ? (((rate * BURST_SECONDS) / 2 - left) / rate) * 1000 : 0;
      const restMs = Math.max(waitMs(rates.messages, bucket.messages), waitMs(rates.bytes, bucket.bytes));
      return Math.min(LONGEST_REST_MS, Math.max(0, restMs));
    },
  };
}

function forget(buckets: Map<string, Bucket>, nowMs: number): void {
  for (const [device, { atMs }] of buckets) {
    if (nowMs - atMs > BURST_SECONDS * 1000) buckets.delete(device);
  }
  // All of them are busy: the one noticed first begins anew.
  if (buckets.size >= MAX_DEVICES) buckets.delete(buckets.keys().next().value ?? "");
}
