import type { Resource } from "@sluice/shared-types";

/** A stretch of work within a trace, begun now. */
export interface Span {
  /** W3C `traceparent`, by which others join the trace. */
  readonly traceparent: string;
  /** Ends it, with the error that it ended in. */
  end(error?: Error): void;
}

/** Where a span belongs and what it is about. */
export interface SpanOptions {
  /** `traceparent` of the span that it is part of; without one it begins a trace. */
  parent?: string | undefined;
  attributes?: Record<string, string | number>;
}

/** Traces of one process, sent over OTLP. */
export interface Tracing extends Resource {
  /** Begins a span; undefined for a trace that is not sampled. */
  start(name: string, options?: SpanOptions): Span | undefined;
}

/** Where traces go, and which share of them. */
export interface TracingOptions {
  /** OTLP over HTTP, e.g. `http://127.0.0.1:4318`. */
  url: string;
  /** Share of traces that are taken, from 0 to 1. */
  ratio: number;
}

/**
 * Opens the way to a collector. OpenTelemetry is loaded only here, so that a process without traces pays nothing. A
 * collector that is away loses traces and holds up nobody. Closing sends what is left. The caller closes it.
 */
export async function openTracing(service: string, { url, ratio }: TracingOptions): Promise<Tracing> {
  const [api, sdk, { OTLPTraceExporter }, { resourceFromAttributes }] = await Promise.all([
    import("@opentelemetry/api"),
    import("@opentelemetry/sdk-trace-base"),
    import("@opentelemetry/exporter-trace-otlp-http"),
    import("@opentelemetry/resources"),
  ]);
  const exporter = new OTLPTraceExporter({ url: new URL("v1/traces", url.replace(/\/*$/, "/")).href });
  const provider = new sdk.BasicTracerProvider({
    resource: resourceFromAttributes({ "service.name": service, "service.namespace": "sluice" }),
    sampler: new sdk.ParentBasedSampler({ root: new sdk.TraceIdRatioBasedSampler(ratio) }),
    spanProcessors: [new sdk.BatchSpanProcessor(exporter, { scheduledDelayMillis: 1_000 })],
  });
  const tracer = provider.getTracer("sluice");
  return {
    start(name, { parent, attributes = {} } = {}) {
      const context = parent === undefined ? undefined : parseTraceparent(parent);
      const within = context
        ? api.trace.setSpanContext(api.ROOT_CONTEXT, { ...context, isRemote: true })
        : api.ROOT_CONTEXT;
      const span = tracer.startSpan(name, { attributes }, within);
      if (!span.isRecording()) return undefined;
      const { traceId, spanId } = span.spanContext();
      return {
        traceparent: `00-${traceId}-${spanId}-01`,
        end(error) {
          if (error) span.setStatus({ code: api.SpanStatusCode.ERROR, message: error.message });
          span.end();
        },
      };
    },
    ping: async () => {}, // nobody is kept from work by a collector that is away
    close: () => provider.shutdown(),
  };
}

function parseTraceparent(text: string) {
  const [, traceId, spanId, flags] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(text) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) };
}
