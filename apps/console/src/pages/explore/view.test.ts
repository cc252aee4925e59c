import { expect, test } from "@jest/globals";
import { formatView, parseView, rangeOf } from "./view.ts";

test("a link shows the view that it was made of", () => {
  const view = {
    sensors: ["esp32_001/temperature", "esp32_002/a b"],
    span: { fromMs: 1_795_000_000_000, toMs: 1_795_000_360_500 },
    compareMs: 7 * 86_400_000,
    bands: false,
  };
  expect(parseView(new URLSearchParams(formatView(view).toString()))).toEqual(view);
});

test("a span up to now moves with the clock, and what makes no sense falls back to a day", () => {
  const view = parseView(
    new URLSearchParams("s=a/b&s=a/b&s=nonsense&last=lots&from=2026-01-02&to=2026-01-01"),
  );
  expect(view.sensors).toEqual(["a/b"]);
  expect(rangeOf(view, 86_400_000)).toEqual({ fromMs: 0, toMs: 86_400_000 });
});
