export * from "./config.ts";
export * from "./http.ts";
export * from "./log.ts";
export * from "./metrics.ts";
export * from "./readiness.ts";
export * from "./run-service.ts";
export * from "./tracing.ts";
export * from "./variables.ts";
