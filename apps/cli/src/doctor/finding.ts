/** What a check found. A `problem` loses data or keeps Sluice from working; a `warning` may later. */
export interface Finding {
  check: string;
  level: "ok" | "warning" | "problem";
  found: string;
  /** How to mend it; empty when there is nothing to mend. */
  mend: string;
}

/** A finding with nothing to mend. */
export function fine(check: string, found: string): Finding {
  return { check, level: "ok", found, mend: "" };
}

/** Something that may go wrong. */
export function warning(check: string, found: string, mend: string): Finding {
  return { check, level: "warning", found, mend };
}

/** Something that is wrong. */
export function problem(check: string, found: string, mend: string): Finding {
  return { check, level: "problem", found, mend };
}
