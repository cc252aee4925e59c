import type { Resource } from "@sluice/shared-types";
import type { z } from "zod";
import { ConfigError, loadConfig } from "./config.ts";
import { openOps } from "./http.ts";
import { createLog, type Log } from "./log.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { createReadiness, type Readiness } from "./readiness.ts";
import { openTracing, type Tracing } from "./tracing.ts";
import { createConfig } from "./variables.ts";

/** What a service gets to work with. */
export interface ServiceContext<C> {
  config: C;
  log: Log;
  metrics: Metrics;
  /** Undefined where no collector is named: then nothing of it is loaded. */
  tracing: Tracing | undefined;
  /** Aborts when the process is told to stop. */
  signal: AbortSignal;
  /** Hands over a resource: it is pinged by `/ready` and closed at the end, last opened first. */
  use<R extends Resource>(name: string, resource: R): R;
  /** Tells the supervisor that the service is up; `untilStopped` does it for services that only serve. */
  started(): void;
}

/** What every service reads besides its own. */
export const Common = createConfig(
  "LOG_LEVEL",
  "LOG_FILE",
  "SLUICE_OPS_PORT",
  "SLUICE_HOST",
  "SLUICE_STOP_TIMEOUT",
  "SLUICE_OTLP_URL",
  "SLUICE_TRACE_RATIO",
);

/**
 * Runs a service process: configuration from the environment (exit 2 with all problems where it is wrong),
 * log, metrics, operations endpoint, orderly stop on SIGTERM and SIGINT (exit 0). `main` resolves once it has
 * stopped after `signal`; when it rejects, or resolves unasked, the process exits 1.
 */
export async function runService<T extends z.ZodObject>(
  name: string,
  schema: T,
  main: (context: ServiceContext<z.output<T>>) => Promise<void>,
): Promise<void> {
  const { config, common } = readConfig(schema);
  const log = createLog(name, common.LOG_LEVEL, common.LOG_FILE);
  const metrics = createMetrics(name);
  const readiness = createReadiness();
  const stop = new AbortController();
  let started = false;
  const crash = (error: unknown, what: string): never => {
    log.fatal({ err: error }, what);
    process.exit(1);
  };
  process.on("uncaughtException", (error) => crash(error, "uncaught exception"));
  process.on("unhandledRejection", (error) => crash(error, "unhandled rejection"));
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => beginStop(signal, stop, common.SLUICE_STOP_TIMEOUT, log));
  }
  const check = async () => ({ started, checks: await readiness.check() });
  readiness.add(
    "ops",
    await openOps(common.SLUICE_HOST, common.SLUICE_OPS_PORT ?? 0, { service: name, log, metrics, check }),
  );
  const { SLUICE_OTLP_URL: otlpUrl, SLUICE_TRACE_RATIO: ratio } = common;
  const tracing = otlpUrl === undefined ? undefined : await openTracing(name, { url: otlpUrl, ratio });
  if (tracing) readiness.add("tracing", tracing);
  const context: ServiceContext<z.output<T>> = {
    config,
    log,
    metrics,
    tracing,
    signal: stop.signal,
    use: (resourceName, resource) => {
      readiness.add(resourceName, resource);
      return resource;
    },
    started: () => {
      started = true;
      log.info({ pid: process.pid }, "service is up");
    },
  };
  await finish(main(context), readiness, stop, common.SLUICE_STOP_TIMEOUT, log);
}

function readConfig<T extends z.ZodObject>(schema: T) {
  try {
    return { config: loadConfig(schema, process.env), common: loadConfig(Common, process.env) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`Configuration cannot be used:\n${error.message.replace(/^/gm, "  ")}\n`);
    process.exit(2);
  }
}

function beginStop(signal: string, stop: AbortController, timeoutMs: number, log: Log): void {
  if (stop.signal.aborted) return;
  log.info({ signal }, "stopping");
  stop.abort();
  setTimeout(() => {
    log.error({ timeoutMs }, "did not stop in time; what was not acknowledged is delivered again");
    process.exit(1);
  }, timeoutMs).unref();
}

async function finish(
  running: Promise<void>,
  readiness: Readiness,
  stop: AbortController,
  stopTimeoutMs: number,
  log: Log,
): Promise<void> {
  let code = 0;
  try {
    await running;
    if (!stop.signal.aborted) {
      log.fatal({}, "service ended unasked");
      code = 1;
    }
  } catch (error) {
    log.fatal({ err: error }, "service failed");
    code = 1;
  }
  // whatever else still runs in this process has to end too, and may not hold up the restart
  beginStop(code === 0 ? "end" : "failure", stop, stopTimeoutMs, log);
  await readiness.closeAll((name, error) =>
    log.warn({ err: error, resource: name }, "did not close cleanly"),
  );
  log.info({ code }, "stopped");
  process.exit(code);
}

/** Marks the service as up and resolves when it is told to stop. */
export function untilStopped({
  signal,
  started,
}: {
  signal: AbortSignal;
  started: () => void;
}): Promise<void> {
  started();
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
