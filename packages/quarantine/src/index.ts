export * from "./rebuild-message.ts";
export * from "./replay-refusals.ts";
