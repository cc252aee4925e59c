export * from "./trace-message.ts";
