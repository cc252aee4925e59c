import { InvalidInputError } from "./errors.ts";

/** A frame as `can-scanner` appends it to `can:raw`, in the fields that the source system fixed. */
export interface CanFields extends Record<string, string> {
  /** "0x123" */
  id: string;
  /** Upper case, two digits a byte, without gaps. */
  data: string;
  /** Milliseconds since the epoch. */
  ts: string;
  dlc: string;
}

/** `(1436509052.249713) can0 123#DEADBEEF`, as `candump -L` prints it and `candump -l` logs it; `T`/`R` may follow. */
const LOGGED = /^\((\d+(?:\.\d+)?)\)\s+\S+\s+([0-9A-Fa-f]{1,8})#((?:[0-9A-Fa-f]{2}\.?)*)(?:\s+[TR])?$/;
/** `can0  123   [8]  DE AD BE EF …`, with a time stamp before it where candump was asked for absolute ones. */
const PRINTED =
  /^(?:\((\d{9,}\.\d+)\)\s+)?\S+\s+(?:[TR]X\s+\S*\s+)?([0-9A-Fa-f]{1,8})\s+\[(\d+)\]\s*((?:[0-9A-Fa-f]{2}\s*)*)(?:'.*')?$/;

/**
 * Reads a line of `candump`, in either of its formats; `nowMs` is the time of a line that has none. Undefined for
 * an empty line.
 * @throws InvalidInputError `bad_frame` where it is neither
 */
export function parseCandump(line: string, nowMs: number): CanFields | undefined {
  const text = line.trim();
  if (text === "") return undefined;
  const logged = LOGGED.exec(text);
  if (logged) {
    const data = (logged[3] ?? "").replaceAll(".", "").toUpperCase();
    return fields(logged[2] ?? "", data, Number(logged[1]) * 1000);
  }
  const printed = PRINTED.exec(text);
  if (!printed) throw new InvalidInputError("bad_frame", "the line is not in a format of candump");
  const data = (printed[4] ?? "").replace(/\s/g, "").toUpperCase();
  if (Number(printed[3]) !== data.length / 2)
    throw new InvalidInputError("bad_frame", "the line has not as many bytes as it says");
  return fields(printed[2] ?? "", data, printed[1] === undefined ? nowMs : Number(printed[1]) * 1000);
}

function fields(id: string, data: string, tsMs: number): CanFields {
  return {
    id: `0x${Number.parseInt(id, 16).toString(16).toUpperCase()}`,
    data,
    ts: String(Math.floor(tsMs + 1e-3)),
    dlc: String(data.length / 2),
  };
}
