import { OutageError } from "@sluice/shared-types";
import { type FieldConflict, findConflict } from "./field-types.ts";
import type { Answer } from "./http-transport.ts";

/** A server's word that at least one line of a request was bad. Which others it stored it does not say. */
export interface Refusal {
  message: string;
  /** The field whose type differs; where several do, one of them. */
  conflict?: FieldConflict;
  /** Positions of lines it names as bad, each with its reason; empty where it names none. */
  named: Map<number, string>;
  /** How many lines it says it dropped; undefined where it does not say. */
  dropped?: number;
}

/** A 400 that speaks of the installation and not of a line: quarantining the lines would be wrong. */
const MISCONFIGURED =
  /\b(database|bucket|org|organization|retention policy|precision|credentials?|token)\b.*\b(required|missing|not found|invalid|unauthorized|provide)|please provide/i;
const ABOUT_LINES =
  /unable to parse|partial write|field type conflict|beyond retention policy|limit exceeded|max key length/i;

/**
 * Reads the answer to a write of `lines`. undefined: all of them are stored.
 * @throws OutageError where trying later may help, also with wrong credentials: nothing is given up for those
 */
export function readWriteAnswer(answer: Answer, lines: readonly string[]): Refusal | undefined {
  const { status } = answer;
  // Whatever else answers 200 in the place of InfluxDB has something to say.
  if (status === 204 || (status === 200 && answer.body === "")) return undefined;
  const message = messageOf(answer);
  const aboutLines = ABOUT_LINES.test(message);
  if (status === 413) return { message: `request too large: ${message}`, named: new Map() };
  if ((status === 400 || status === 422) && (aboutLines || !MISCONFIGURED.test(message))) {
    return parseRefusal(message, answer.body, lines);
  }
  throw outageOf(answer);
}

/** What to throw for an answer that says the server cannot or will not serve now. */
export function outageOf(answer: Answer): OutageError {
  const message = `InfluxDB answered ${answer.status}: ${messageOf(answer)}`;
  return new OutageError("influx", message, parseRetryAfter(answer.headers["retry-after"], Date.now()));
}

/** `Retry-After` as milliseconds from `nowMs`: seconds, or an HTTP date. */
export function parseRetryAfter(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^\s*\d+(\.\d+)?\s*$/.test(header)) return Math.ceil(Number(header) * 1000);
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}

function parseRefusal(message: string, body: string, lines: readonly string[]): Refusal {
  const refusal: Refusal = { message: message.slice(0, 2000), named: namedLines(message, body, lines) };
  const conflict = findConflict(message);
  if (conflict) refusal.conflict = conflict;
  // 1.x says dropped=0 when it reports lines it could not parse.
  const dropped = /dropped=(\d+)/.exec(message)?.[1];
  if (dropped !== undefined && dropped !== "0") refusal.dropped = Number(dropped);
  return refusal;
}

/** 1.x and 2.x quote the lines they could not parse; 3 numbers them. */
function namedLines(message: string, body: string, lines: readonly string[]): Map<number, string> {
  const named = new Map<number, string>();
  for (const { line_number: number, error_message: why } of parseJson(body)?.data ?? []) {
    if (typeof number === "number" && number >= 1 && number <= lines.length) {
      named.set(number - 1, String(why ?? message).slice(0, 2000));
    }
  }
  if (named.size > 0 || !message.includes("unable to parse")) return named;
  for (const [i, line] of lines.entries()) {
    const at = message.indexOf(`unable to parse '${line}': `);
    if (at >= 0)
      named.set(i, message.slice(at, at + line.length + 200).split("\nunable to parse")[0] ?? message);
  }
  return named;
}

interface ErrorBody {
  error?: unknown;
  message?: unknown;
  data?: { line_number?: unknown; error_message?: unknown }[];
}

function parseJson(body: string): ErrorBody | undefined {
  try {
    const json: unknown = JSON.parse(body);
    if (typeof json !== "object" || json === null) return undefined;
    const found = json as ErrorBody;
    return Array.isArray(found.data) ? found : { error: found.error, message: found.message };
  } catch {
    return undefined;
  }
}

/** The sentence in an error answer: 1.x and 3 call it `error`, 2.x `message`. */
export function messageOf(answer: Answer): string {
  const json = parseJson(answer.body);
  const text = json?.message ?? json?.error;
  if (typeof text === "string" && text !== "") return text;
  const header = answer.headers["x-influxdb-error"];
  return typeof header === "string" ? header : answer.body.slice(0, 500).trim() || "no reason given";
}
