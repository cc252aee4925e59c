import type { FieldValue } from "./line-protocol.ts";

/** Type a server fixed for a field when it saw it first. */
export type StoredType = "float" | "integer" | "unsigned" | "boolean" | "string";

/** What a server says of a field whose type differs from the one it has. */
export interface FieldConflict {
  measurement: string;
  field: string;
  storedType: StoredType;
}

const CONFLICT =
  /input field "((?:[^"\\]|\\.)*)" on measurement "((?:[^"\\]|\\.)*)" is type \w+, already exists as type (float|integer|unsigned|boolean|string)/;

/** Finds the field conflict in a server's error text (1.x and 2.x word it alike); undefined where there is none. */
export function findConflict(message: string): FieldConflict | undefined {
  const m = CONFLICT.exec(message);
  if (!m) return undefined;
  return { field: unquote(m[1] ?? ""), measurement: unquote(m[2] ?? ""), storedType: m[3] as StoredType };
}

/** Go's %q of a name; names with stranger escapes are left as they are and then match nothing. */
function unquote(text: string): string {
  try {
    return JSON.parse(`"${text}"`) as string;
  } catch {
    return text;
  }
}

/**
 * `value` as a server that has `type` for the field takes it, without loss: booleans and 0/1, numeric strings,
 * anything as text. undefined where that cannot be, and for integers, which line protocol would need a
 * suffix for and which we never write.
 */
export function coerceField(value: FieldValue, type: StoredType): FieldValue | undefined {
  if (type === "string") return typeof value === "string" ? value : String(value);
  if (type === "float") {
    if (typeof value === "number") return value;
    if (typeof value === "boolean") return value ? 1 : 0;
    return parseNumber(value);
  }
  if (type === "boolean") {
    if (typeof value === "boolean") return value;
    if (value === 1 || value === 0) return value === 1;
    if (value === "true" || value === "false") return value === "true";
  }
  return undefined;
}

function parseNumber(text: string): number | undefined {
  if (!/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}
