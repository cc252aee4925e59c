import { OutageError, type Resource } from "@sluice/shared-types";
import { type Log, SILENT } from "./log.ts";
import { classify, openConnection, whenReady } from "./redis-connection.ts";

const READY_WAIT_MS = 5_000;

/** Appends entries with named fields, as a program that knows nothing of this bus would: for `can:raw`. */
export interface FrameLog extends Resource {
  /**
   * Appends `rows` in order. Resolves when all are in the stream. Rejects with OutageError when some may not be:
   * then all may be appended again, by somebody to whom a repetition does no harm.
   */
  append(stream: string, rows: readonly Readonly<Record<string, string>>[]): Promise<void>;
}

/** Connects to the Redis at `url`. The caller closes it. */
export async function openFrameLog(url: string, { log = SILENT }: { log?: Log } = {}): Promise<FrameLog> {
  const redis = await openConnection(url, "sluice-frames", log);
  return {
    async append(stream, rows) {
      if (rows.length === 0) return;
      try {
        await whenReady(redis, READY_WAIT_MS);
        const pipeline = redis.pipeline();
        for (const row of rows) pipeline.call("XADD", stream, "*", ...Object.entries(row).flat());
        const replies = await pipeline.exec();
        if (replies?.length !== rows.length) throw new OutageError("redis", "not every frame was answered");
        for (const [error] of replies) if (error) throw error;
      } catch (error) {
        throw classify(error);
      }
    },
    ping: async () => {
      if (redis.status !== "ready") throw new OutageError("redis", `connection is ${redis.status}`);
    },
    close: async () => {
      redis.disconnect();
    },
  };
}
