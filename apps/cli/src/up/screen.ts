/** A terminal with lines at the bottom that are redrawn, and text that scrolls above them. */
export interface Screen {
  /** Writes text that stays. */
  print(text: string): void;
  /** Replaces the bottom lines. */
  draw(lines: readonly string[]): void;
}

/** Creates a screen on a terminal (or anything that takes text, as long as nothing is drawn). */
export function createScreen(write: (text: string) => void, columns: () => number): Screen {
  let drawn: readonly string[] = [];
  const clear = () => (drawn.length === 0 ? "" : `\u001b[${drawn.length}A\u001b[0J`);
  const show = (lines: readonly string[]) =>
    lines.map((line) => `${line.slice(0, columns() - 1)}\n`).join("");
  return {
    print(text) {
      write(`${clear()}${text}${show(drawn)}`);
    },
    draw(lines) {
      write(`${clear()}${show(lines)}`);
      drawn = lines;
    },
  };
}
