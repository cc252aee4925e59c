import type { Tracing } from "@sluice/service-kit";
import type { Ingest } from "./ingest.ts";

/** `ingest` with a span for every message, from its arrival until it is durable: the beginning of its trace. */
export function traceIngest(ingest: Ingest, tracing: Pick<Tracing, "start"> | undefined): Ingest {
  if (!tracing) return ingest;
  return {
    ...ingest,
    async accept(message) {
      const { source, topic } = message;
      const span = tracing.start("accept", {
        attributes: { "messaging.source": source, "messaging.destination": topic },
      });
      if (!span) return ingest.accept(message);
      try {
        const verdict = await ingest.accept({ ...message, trace: span.traceparent });
        const [refusal] = verdict.refusals;
        span.end(refusal && new Error(`${refusal.reason}: ${refusal.detail}`));
        return verdict;
      } catch (error) {
        span.end(error as Error);
        throw error;
      }
    },
  };
}
