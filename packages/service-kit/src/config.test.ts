import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { ConfigError, loadConfig } from "./config.ts";
import { createConfig } from "./variables.ts";

const Config = createConfig(
  "REDIS_URL",
  "DATABASE_URL",
  "MAX_FUTURE",
  "SLUICE_HTTP_PORT",
  "SLUICE_PEPPER",
  "SLUICE_BATCH_MESSAGES",
);
const good = {
  REDIS_URL: "redis://127.0.0.1:1",
  DATABASE_URL: "postgres://h/d",
  SLUICE_PEPPER: "0123456789abcdef",
};
const problems = (env: Record<string, string>) => {
  try {
    loadConfig(Config, env);
    return "";
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
};

describe("configuration", () => {
  test("fills in defaults and converts durations to milliseconds", () => {
    expect(loadConfig(Config, good)).toMatchObject({ MAX_FUTURE: 3_600_000, SLUICE_BATCH_MESSAGES: 8192 });
  });

  test("names every problem at once", () => {
    const text = problems({ MAX_FUTURE: "5", SLUICE_HTTP_PORT: "99999", SLUICE_BATCH_MESSAGES: "0" });
    for (const name of ["REDIS_URL is missing", "DATABASE_URL is missing", "SLUICE_PEPPER is missing"])
      expect(text).toContain(name);
    expect(text).toContain("MAX_FUTURE is a duration with a unit");
    expect(text).toContain("SLUICE_HTTP_PORT is a port");
    expect(text).toContain("SLUICE_BATCH_MESSAGES is a number of messages from 1 to 20000");
  });

  test.each(["abc", "-1", "1e99", "NaN", "5 s", "5"])("refuses %p as a duration", (value) => {
    expect(problems({ ...good, MAX_FUTURE: value })).toContain("MAX_FUTURE is a duration");
  });

  test("counts an empty or blank variable as missing and refuses quotes and stray space", () => {
    expect(problems({ ...good, REDIS_URL: "  " })).toContain("REDIS_URL is missing");
    expect(problems({ ...good, REDIS_URL: '"redis://h"' })).toContain("in quotes");
    expect(problems({ ...good, REDIS_URL: "redis://h " })).toContain("white space");
  });

  test("refuses an unknown SLUICE_ name and suggests the nearest", () => {
    expect(problems({ ...good, SLUICE_HTP_PORT: "1" })).toContain("did you mean SLUICE_HTTP_PORT?");
  });

  test("reads a secret from the file named by <NAME>_FILE", () => {
    const file = join(mkdtempSync(join(tmpdir(), "sluice-config-")), "pepper");
    writeFileSync(file, "fedcba9876543210\n");
    const { SLUICE_PEPPER: _, ...rest } = good;
    expect(loadConfig(Config, { ...rest, SLUICE_PEPPER_FILE: file }).SLUICE_PEPPER).toBe("fedcba9876543210");
    expect(problems({ ...rest, SLUICE_PEPPER_FILE: `${file}x` })).toContain("cannot be read");
  });

  test("never shows a secret or a URL's password", () => {
    expect(problems({ ...good, SLUICE_PEPPER: "short" })).not.toContain("short");
    expect(problems({ ...good, REDIS_URL: "http://u:hunter2@h" })).not.toContain("hunter2");
  });
});
