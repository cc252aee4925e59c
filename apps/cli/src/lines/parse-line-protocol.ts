/** A point as it stands in a line of InfluxDB's line protocol. */
export interface LinePoint {
  measurement: string;
  tags: Record<string, string>;
  fields: Record<string, number | string | boolean>;
  /** In the file's precision; undefined where the line has none. */
  time: bigint | undefined;
}

const INTEGER = /^[+-]?\d+[iu]$/;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** Reads one line; undefined where it is none. Comments and blank lines are for the caller. */
export function parseLineProtocol(line: string): LinePoint | undefined {
  const [head, afterHead] = take(line, 0, " ", false);
  const [fieldText, afterFields] = take(line, afterHead, " ", true);
  const timeText = line.slice(afterFields).trim();
  if (timeText !== "" && !/^-?\d{1,19}$/.test(timeText)) return undefined;
  const [measurement = "", ...tagTexts] = split(head, ",", false).map((text) => text);
  if (measurement === "" || fieldText === "") return undefined;
  const tags: Record<string, string> = {};
  for (const text of tagTexts) {
    const pair = split(text, "=", false);
    if (pair.length !== 2) return undefined;
    tags[plain(pair[0] ?? "")] = plain(pair[1] ?? "");
  }
  const fields: LinePoint["fields"] = {};
  for (const text of split(fieldText, ",", true)) {
    const [name, at] = take(text, 0, "=", false);
    const value = parseValue(text.slice(at));
    if (name === "" || value === undefined) return undefined;
    fields[plain(name)] = value;
  }
  return {
    measurement: plain(measurement),
    tags,
    fields,
    time: timeText === "" ? undefined : BigInt(timeText),
  };
}

function parseValue(text: string): number | string | boolean | undefined {
  if (/^(t|true)$/i.test(text)) return true;
  if (/^(f|false)$/i.test(text)) return false;
  if (INTEGER.test(text)) return Number(text.slice(0, -1));
  if (NUMBER.test(text)) return Number(text);
  const quoted = /^"((?:[^"\\]|\\.)*)"$/s.exec(text);
  return quoted?.[1]?.replace(/\\(["\\])/g, "$1");
}

/** The text up to an unescaped `end` (outside of quotes, where these count), and where it goes on behind. */
function take(text: string, from: number, end: string, quotes: boolean): [text: string, next: number] {
  let quoted = false;
  for (let i = from; i < text.length; i++) {
    const char = text[i];
    if (char === "\\") i++;
    else if (quotes && char === '"') quoted = !quoted;
    else if (char === end && !quoted) return [text.slice(from, i), i + 1];
  }
  return [text.slice(from), text.length];
}

function split(text: string, at: string, quotes: boolean): string[] {
  const parts: string[] = [];
  for (let from = 0; ; ) {
    const [part, next] = take(text, from, at, quotes);
    parts.push(part);
    if (from + part.length >= text.length) return parts;
    from = next;
  }
}

const plain = (text: string) => text.replace(/\\([,= \\])/g, "$1");
