export * from "./machine.ts";
export type { MachineScript } from "./machine-job.ts";
export * from "./run-machines.ts";
export * from "./stores.ts";
