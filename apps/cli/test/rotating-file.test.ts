import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "@jest/globals";
import { openRotatingFile } from "../src/up/rotating-file.ts";

it("keeps the last two parts of a log and goes on where it was", () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice log "));
  for (const line of ["one", "two", "three"]) {
    const file = openRotatingFile(join(folder, "logs"), "x", 5);
    file.write(`${line} a\n`);
    file.write(`${line} b\n`);
    file.close();
  }
  expect(readFileSync(join(folder, "logs", "x.log"), "utf8")).toBe("three b\n");
  expect(readFileSync(join(folder, "logs", "x.log.1"), "utf8")).toBe("three a\n");
  rmSync(folder, { recursive: true });
});

it("does not throw where nothing can be written", () => {
  const file = openRotatingFile("/dev/null/x", "y");
  file.write("lost");
  file.close();
});
