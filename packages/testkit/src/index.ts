export * from "./installation.ts";
export * from "./patience.ts";
export * from "./serve-big-query.ts";
export * from "./start-proxy.ts";
export * from "./use-postgres.ts";
export * from "./use-server.ts";
export * from "./wait-for.ts";
