/** Kinds of alarms, gravest first. */
export type AlertType = "emergency" | "error" | "warning" | "other";

// Whole words, or the beginning of one: 'err' is a word in "ERR 21", not in "interrum." or "erróneo". A digit or '_' ends one.
const KINDS: readonly (readonly [AlertType, RegExp])[] = [
  ["emergency", /(?<!\p{L})emerg/iu],
  ["error", /(?<!\p{L})(?:error|fallo|fault|err(?!\p{L}))/iu],
  ["warning", /(?<!\p{L})(?:alert|alarm|warn|aviso|attention)/iu],
];

/** What kind of alarm a text tells of. */
export function classifyAlert(text: string | null): AlertType {
  return KINDS.find(([, words]) => words.test(text ?? ""))?.[0] ?? "other";
}

/** One alarm of a list. */
export interface Alarm {
  /** Place in the list, from 0. */
  readonly position: number;
  readonly type: AlertType;
  readonly code: string | null;
  readonly text: string | null;
  /** As the list has it: code, text, two more, and a number. */
  readonly element: readonly (string | number | boolean | null)[];
  /** The list before did not have it (same code, number and text). */
  readonly newlyRaised: boolean;
}

/** A list of all alarms that are active. */
export interface AlarmList {
  readonly alarms: readonly Alarm[];
  /** Elements that are no alarm. */
  readonly bad: number;
  /** What the next list is compared with. */
  readonly active: ReadonlySet<string>;
}

/**
 * Reads a list of active alarms, a JSON array of `[code, text, x, y, number]`. NUL and half surrogate pairs, which no
 * database keeps, are replaced. Undefined where the text is no such list.
 */
export function readAlarmList(text: string, before: ReadonlySet<string>): AlarmList | undefined {
  const list = parseArray(text);
  if (!list) return undefined;
  const active = new Set<string>();
  const alarms: Alarm[] = [];
  for (const [position, element] of list.entries()) {
    if (!isAlarm(element)) continue;
    const code = textOf(element[0]);
    const message = textOf(element[1]);
    const key = JSON.stringify([code, element[4] ?? null, message]);
    active.add(key);
    alarms.push({
      position,
      type: classifyAlert(message),
      code,
      text: message,
      element,
      newlyRaised: !before.has(key),
    });
  }
  return { alarms, bad: list.length - alarms.length, active };
}

function parseArray(text: string): unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(text, (_key, part: unknown) =>
      typeof part === "string" ? part.replaceAll("\0", "\ufffd").replace(/\p{Cs}/gu, "\ufffd") : part,
    );
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined; // that is the answer
  }
}

const isAlarm = (element: unknown): element is Alarm["element"] =>
  Array.isArray(element) &&
  element.length >= 2 &&
  element.every((part) => part === null || typeof part !== "object");

function textOf(part: Alarm["element"][number] | undefined): string | null {
  const text = part === null || part === undefined ? "" : String(part).trim();
  return text === "" ? null : text;
}
