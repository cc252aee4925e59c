/** How numbers are written in a file. */
export interface NumberStyle {
  /** `,` for files that write 12,5. */
  decimal: "." | ",";
}

/** Why a cell holds no reading. */
export type SkipReason = "empty" | "nan" | "too_long";

/** What a cell holds: a value, or the reason why it is skipped. */
export type Cell = { value: number | string | boolean } | { skipped: SkipReason };

const NAN = /^[+-]?(nan|inf|infinity|∞|#n\/a|#?n\.?\/?a\.?|null|-)$/i;
const MAX_TEXT = 4096;

/**
 * Reads one cell: a number in the file's style (a literal 0 is a value), true or false, else text.
 * Empty cells and every spelling of "not a number" are skipped, by name.
 */
export function parseCell(cell: string, style: NumberStyle): Cell {
  const text = cell.trim();
  if (text === "") return { skipped: "empty" };
  if (NAN.test(text)) return { skipped: "nan" };
  const value = parseNumber(text, style);
  if (value !== undefined) return { value };
  if (/^(true|false)$/i.test(text)) return { value: text.toLowerCase() === "true" };
  if (text.length > MAX_TEXT || text.includes("\u0000") || !text.isWellFormed())
    return { skipped: "too_long" };
  return { value: text };
}

function parseNumber(text: string, style: NumberStyle): number | undefined {
  const plain =
    style.decimal === ","
      ? /^[+-]?\d{1,3}(\.\d{3})+(,\d+)?$/.test(text)
        ? text.replaceAll(".", "").replace(",", ".")
        : text.replace(",", ".")
      : text;
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain)) return undefined;
  const value = Number(plain);
  return Number.isFinite(value) ? value : undefined;
}
