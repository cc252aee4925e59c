export * from "./message-builder.ts";
export * from "./publish-samples.ts";
export * from "./wait-processed.ts";
