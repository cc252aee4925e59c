export * from "./announce-commands.ts";
export * from "./bus.ts";
export * from "./consume.ts";
export * from "./consume-parked.ts";
export * from "./frame-log.ts";
export * from "./key-value.ts";
export type { Log } from "./log.ts";
export * from "./open-bus.ts";
export type * from "./parking.ts";
