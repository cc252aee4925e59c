import { findReconciliation, putReconciliation } from "@sluice/db";
import { type Engine, reconcile } from "@sluice/etl";
import type { Influx } from "@sluice/influx";
import type { Metrics } from "@sluice/service-kit";

const HOUR_MS = 3_600_000;
/** What is younger may still be on its way to one of the stores. */
const SETTLE_MS = HOUR_MS;
/** Not again before, after a restart for example. */
const REST_MS = 20 * HOUR_MS;
const LONGEST_MS = 7 * 24 * HOUR_MS;

/**
 * Creates what compares InfluxDB with PostgreSQL since the last time (a week at most) and keeps, counts and logs what
 * differs. It mends nothing: that is `./sluice reconcile --repair`.
 */
export function createComparison(
  influx: Pick<Influx, "query" | "bucket">,
  metrics: Metrics,
): (engine: Engine) => Promise<void> {
  const differences = metrics.gauge(
    "reconcile_differences",
    "Readings that differed between InfluxDB and PostgreSQL when they were last compared",
    ["kind"],
  );
  const finished = metrics.gauge(
    "reconcile_finished_timestamp_seconds",
    "When InfluxDB and PostgreSQL were last compared",
  );
  return async ({ db, now, signal, log }) => {
    const last = await findReconciliation(db);
    const nowMs = now();
    if (last && nowMs - last.finishedMs < REST_MS) return;
    const toMs = Math.floor((nowMs - SETTLE_MS) / HOUR_MS) * HOUR_MS;
    const fromMs = Math.max(last?.toMs ?? toMs - 24 * HOUR_MS, toMs - LONGEST_MS);
    if (fromMs >= toMs) return;
    const report = await reconcile(db, influx, { fromMs, toMs }, { signal });
    if (signal.aborted) return;
    await putReconciliation(db, { ...report, repaired: false });
    const { missing, differing, extra, hours } = report;
    for (const [kind, n] of Object.entries({ missing, differing, extra })) differences.set({ kind }, n);
    finished.set(nowMs / 1000);
    const counts = { hours, missing, differing, extra };
    if (missing + differing + extra === 0) log.info(counts, "InfluxDB and PostgreSQL agree");
    else log.warn(counts, "InfluxDB and PostgreSQL differ: see ./sluice reconcile");
  };
}
