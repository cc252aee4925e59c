export * from "./open-big-query.ts";
