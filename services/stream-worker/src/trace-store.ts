import type { Tracing } from "@sluice/service-kit";
import { traceOf } from "@sluice/shared-types";
import type { Store } from "./store-batch.ts";

/** `store` with a span for every traced message of a batch, from its delivery until the commit: the end of its trace. */
export function traceStore(store: Store, tracing: Pick<Tracing, "start"> | undefined): Store {
  if (!tracing) return store;
  return {
    ...store,
    async handle(entries) {
      const spans = entries.flatMap(({ id, messages, attempts }) =>
        messages.flatMap((text) => {
          const parent = traceOf(text);
          const attributes = {
            "sluice.entry": id,
            "sluice.attempts": attempts,
            "sluice.batch": entries.length,
          };
          return (parent !== undefined && tracing.start("store", { parent, attributes })) || [];
        }),
      );
      try {
        const outcomes = await store.handle(entries);
        for (const span of spans) span.end();
        return outcomes;
      } catch (error) {
        for (const span of spans) span.end(error as Error);
        throw error;
      }
    },
  };
}
