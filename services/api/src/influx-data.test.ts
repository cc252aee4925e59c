import { expect, test } from "@jest/globals";
import { parseInstant } from "./influx-data.ts";

const NOW_US = 1_800_000_000_000_000;

test.each([
  ["now()", NOW_US],
  ["-1h", NOW_US - 3_600_000_000],
  ["-1d12h", NOW_US - 129_600_000_000],
  ["-500ms", NOW_US - 500_000],
  ["2024-01-01T00:00:00Z", 1_704_067_200_000_000],
  ["1704067200", 1_704_067_200_000_000],
])("'%s' is an instant", (text, us) => {
  expect(parseInstant(text, NOW_US)).toBe(us);
});

test.each([
  "",
  "-",
  "-1x",
  "1h) |> drop()",
  "now() - 1h",
  "yesterday",
  "2024-02-30T00:00:00Z",
  `-${"9".repeat(9)}y`,
])("'%s' is none", (text) => {
  expect(parseInstant(text, NOW_US)).toBeUndefined();
});
