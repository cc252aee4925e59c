import { types } from "node:util";
import { InvalidInputError, OutageError } from "@sluice/shared-types";

const OUTAGE = /^(08|40|53|57|58)|^(25006|55P03|55006)$/;
const BAD_INPUT = /^(22|23)|^(21000|54)/;
const SOCKET =
  /^(ECONN|EPIPE$|ETIMEDOUT$|EHOSTUNREACH$|ENETUNREACH$|EAI_AGAIN$|ENOTFOUND$|ENOENT$|EADDRNOTAVAIL$)/;
const MESSAGE =
  /Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client has encountered a connection error|not queryable|Client was closed/i;

/** SQLSTATE or system error code of an error that came out of the driver; undefined where it has none. */
export function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : undefined;
}

/** Whether the server itself said so: then the connection it came over still works, unless it is fatal. */
export function isAnswer(error: unknown): boolean {
  return (error as { severity?: unknown } | null)?.severity === "ERROR";
}

/**
 * Decides the fate of a driver error: InvalidInputError for data that PostgreSQL will never take, OutageError
 * for a server that cannot serve now, anything else unchanged. The original is the cause.
 */
export function classify(error: unknown): unknown {
  // isNativeError: a socket's error may come from another realm than ours
  if (error instanceof InvalidInputError || error instanceof OutageError || !types.isNativeError(error))
    return error;
  const code = codeOf(error);
  if (code !== undefined && code.length === 5 && BAD_INPUT.test(code)) {
    return new InvalidInputError("poison_row", `${error.message} (${code})`, { cause: error });
  }
  if (code !== undefined && (SOCKET.test(code) || (code.length === 5 && OUTAGE.test(code)))) {
    return new OutageError("postgres", `${error.message} (${code})`, undefined, { cause: error });
  }
  if (MESSAGE.test(error.message)) {
    return new OutageError("postgres", error.message, undefined, { cause: error });
  }
  return error;
}
