import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";

/** An entry of a catalogue: an input and what has to become of it. */
export interface CatalogueEntry {
  id: string;
  where: string;
  text: string;
}

interface File {
  inputs?: { id: string; where: string; input: string; expect: string }[];
  checks?: { id: string; area: string; check: string; pass_if: string }[];
}

/** The entries of a copied catalogue. */
export function readCatalogue(name: "bad-inputs" | "security"): CatalogueEntry[] {
  const file = JSON.parse(
    readFileSync(join(import.meta.dirname, "catalogues", `${name}.json`), "utf8"),
  ) as File;
  const inputs = (file.inputs ?? []).map((e) => ({
    id: e.id,
    where: e.where,
    text: `${e.input}: ${e.expect}`,
  }));
  const checks = (file.checks ?? []).map((e) => ({
    id: e.id,
    where: e.area,
    text: `${e.check}: ${e.pass_if}`,
  }));
  return [...inputs, ...checks];
}

/** How an entry is executed here, or the reason why it is not. */
export type Executed = Record<string, (() => Promise<void>) | string>;

/** Makes one test of every entry; an entry that nobody thought of fails. */
export function runCatalogue(title: string, entries: readonly CatalogueEntry[], executed: Executed): void {
  describe(title, () => {
    for (const { id, text } of entries) {
      const how = executed[id];
      const name = `${id} ${text.slice(0, 140)}`;
      if (typeof how === "string") test(`${name} — not here: ${how}`, () => expect(how).not.toBe(""));
      else
        test(name, async () => {
          if (!how) throw new Error(`${id} is neither executed nor excused`);
          await how();
        });
    }
  });
}
