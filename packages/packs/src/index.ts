export * from "./grafana-dashboard.ts";
export * from "./pack.ts";
export * from "./read-packs.ts";
export * from "./simulate-device.ts";
export * from "./simulator.ts";
