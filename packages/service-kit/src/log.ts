import { type Logger, pino, stdTimeFunctions } from "pino";

/** The process's logger: JSON lines with `level`, `time`, `service`, `msg`. */
export type Log = Logger;

/** Paths that never appear in a log line. */
const SECRETS = [
  "password",
  "apiKey",
  "api_key",
  "token",
  "authorization",
  "*.password",
  "*.apiKey",
  "*.api_key",
  "*.token",
];

/** Opens the log on standard output, or on `file` as well where one is given. A full disk there never stops the service. */
export function createLog(service: string, level: string, file?: string): Log {
  const options = {
    level,
    base: { service },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: SECRETS, censor: "***" },
  };
  const toFile = file === undefined ? undefined : pino.destination({ dest: file, sync: false, mkdir: true });
  toFile?.on("error", (error: Error) => process.stderr.write(`log file ${file}: ${error.message}\n`));
  const stdout = pino.destination({ dest: 1, sync: true });
  if (!toFile) return pino(options, stdout);
  return pino(
    options,
    pino.multistream([
      { stream: stdout, level: "trace" },
      { stream: toFile, level: "trace" },
    ]),
  );
}

/** Says a thing at most once per `everyMs` and key, with how often it was held back. Bounded memory. */
export function createLimiter(everyMs: number, maxKeys = 1000) {
  const seen = new Map<string, { at: number; held: number }>();
  /** Returns undefined when the line is to be held back, else the number held back since the last one. */
  return (key: string, nowMs: number): number | undefined => {
    const last = seen.get(key);
    if (last && nowMs - last.at < everyMs) {
      last.held++;
      return undefined;
    }
    if (!last && seen.size >= maxKeys) seen.delete(seen.keys().next().value ?? "");
    seen.delete(key);
    seen.set(key, { at: nowMs, held: 0 });
    return last?.held ?? 0;
  };
}
