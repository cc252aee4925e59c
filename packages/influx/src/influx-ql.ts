/** A name (measurement, tag, field, database) as InfluxQL takes it, quoted. */
export function escapeIdentifier(name: string): string {
  return `"${escapeText(name, '"')}"`;
}

/** A text as an InfluxQL string literal, quoted. */
export function escapeString(value: string): string {
  return `'${escapeText(value, "'")}'`;
}

// The server reads a carriage return as a newline, and has no escape for it; NUL ends its input.
function escapeText(text: string, quote: string): string {
  return text
    .replaceAll("\\", "\\\\")
    .replaceAll(quote, `\\${quote}`)
    .replace(/[\n\r]/g, "\\n")
    .replaceAll("\u0000", "");
}

/** A parameter that is a name, not a value. */
export interface Identifier {
  identifier: string;
}

/** Marks `identifier` as a name for {@link influxQl}. */
export const identifier = (name: string): Identifier => ({ identifier: name });

/** A parameter of {@link influxQl}. */
export type Parameter = string | number | boolean | bigint | Identifier;

/**
 * Builds InfluxQL from a template; whatever is put in is quoted for what it is and cannot leave its place.
 * An instant goes in as nanoseconds (`${BigInt(timeUs) * 1000n}`).
 */
export function influxQl(template: TemplateStringsArray, ...parameters: readonly Parameter[]): string {
  return template.reduce((query, part, i) => `${query}${encodeParameter(parameters[i - 1] ?? "")}${part}`);
}

function encodeParameter(parameter: Parameter): string {
  if (typeof parameter === "string") return escapeString(parameter);
  if (typeof parameter === "object") return escapeIdentifier(parameter.identifier);
  if (typeof parameter === "number" && !Number.isFinite(parameter)) {
    throw new RangeError("a number in a query has to be finite");
  }
  return String(parameter);
}

/** A value in a query's answer; `time` is in microseconds since the epoch. */
export type Cell = string | number | boolean | null;

/** One series of an answer: a measurement, or one group of it. */
export interface Series {
  name: string;
  /** The tags it is grouped by. */
  tags: Record<string, string>;
  rows: Record<string, Cell>[];
}

interface WireAnswer {
  error?: string;
  results?: {
    error?: string;
    series?: { name?: string; tags?: Record<string, string>; columns: string[]; values?: Cell[][] }[];
  }[];
}

/** Reads the answer of `/query`, all statements in order. @throws Error with the server's words on a failed statement */
export function parseQueryAnswer(body: string): Series[] {
  const answer = JSON.parse(body) as WireAnswer;
  const failed = answer.error ?? answer.results?.find((result) => result.error !== undefined)?.error;
  if (failed !== undefined) throw new Error(`InfluxDB refused a query: ${failed}`);
  return (answer.results ?? []).flatMap((result) =>
    (result.series ?? []).map(({ name = "", tags = {}, columns, values = [] }) => ({
      name,
      tags,
      rows: values.map((row) => Object.fromEntries(columns.map((column, i) => [column, row[i] ?? null]))),
    })),
  );
}
