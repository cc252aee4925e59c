/** The part of a logger the gateway needs. */
export type Log = Record<"debug" | "info" | "warn" | "error", (obj: object, msg: string) => void>;
