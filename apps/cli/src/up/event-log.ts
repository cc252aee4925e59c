type Level = "debug" | "info" | "warn" | "error";

/** Where `up` says what happens. */
export type EventLog = Record<Level, (fields: object, message: string) => void>;

/** Writes one JSON object a line, as the services do. */
export function createJsonLog(write: (line: string) => void): EventLog {
  const at = (level: Level) => (fields: object, message: string) =>
    write(
      `${JSON.stringify({ level, time: new Date().toISOString(), service: "sluice", ...fields, msg: message })}\n`,
    );
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** Writes short lines for people. */
export function createTextLog(write: (line: string) => void): EventLog {
  const at = (mark: string) => (fields: object, message: string) => {
    const { err } = fields as { err?: unknown };
    write(`${mark}${message}${err === undefined ? "" : `: ${String(err)}`}\n`);
  };
  return { debug: () => {}, info: at("  "), warn: at("! "), error: at("! ") };
}
