import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/** Upper bounds, in seconds, for latencies from a tenth of a millisecond to a minute. */
export const LATENCY_BUCKETS = [
  0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60,
];
/** Upper bounds for sizes of batches. */
export const SIZE_BUCKETS = [1, 5, 10, 50, 100, 500, 1000, 5000, 10_000, 50_000];

/** Makes the metrics of one process. Names get the prefix `sluice_`. */
export interface Metrics {
  counter<L extends string = never>(name: string, help: string, labels?: readonly L[]): Counter<L>;
  /** `collect` is called at each scrape, to set the gauge then. */
  gauge<L extends string = never>(
    name: string,
    help: string,
    labels?: readonly L[],
    collect?: (gauge: Gauge<L>) => void | Promise<void>,
  ): Gauge<L>;
  histogram<L extends string = never>(
    name: string,
    help: string,
    buckets?: readonly number[],
    labels?: readonly L[],
  ): Histogram<L>;
  /** The Prometheus text exposition. */
  expose(): Promise<{ contentType: string; text: string }>;
}

/** Opens a registry with the default process metrics, every sample labelled with `service`. */
export function createMetrics(service: string): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry });
  const common = (name: string, help: string) => ({ name: `sluice_${name}`, help, registers: [registry] });
  return {
    counter: (name, help, labels = []) => new Counter({ ...common(name, help), labelNames: [...labels] }),
    gauge<L extends string = never>(
      name: string,
      help: string,
      labels: readonly L[] = [],
      collect?: (gauge: Gauge<L>) => void | Promise<void>,
    ) {
      const gauge: Gauge<L> = new Gauge<L>({
        ...common(name, help),
        labelNames: [...labels],
        ...(collect ? { collect: (): void | Promise<void> => collect(gauge) } : {}),
      });
      return gauge;
    },
    histogram: (name, help, buckets = LATENCY_BUCKETS, labels = []) =>
      new Histogram({ ...common(name, help), buckets: [...buckets], labelNames: [...labels] }),
    expose: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}
