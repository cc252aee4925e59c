import { expect, test } from "@jest/globals";
import { createTagHistory } from "./tag-history.ts";

const unknown = { device_type: "esp32" };
const known = { device_type: "pump", device_name: "P1" };

test("a message delivered again has the tags of its first arrival, whatever the registry says by then", () => {
  const history = createTagHistory();
  expect([1, 3, 2].map((timeUs) => history.tagsAt("a", timeUs, unknown))).toEqual([
    unknown,
    unknown,
    unknown,
  ]);
  expect(history.tagsAt("a", 4, known)).toEqual(known);
  expect([1, 2, 3, 4].map((timeUs) => history.tagsAt("a", timeUs, known))).toEqual([
    unknown,
    unknown,
    unknown,
    known,
  ]);
  expect(history.tagsAt("b", 1, known)).toEqual(known);
});

test("old tags are forgotten once brokers deliver nothing again any more", () => {
  let nowMs = 0;
  const history = createTagHistory(() => nowMs);
  history.tagsAt("a", 1, unknown);
  history.tagsAt("a", 2, known);
  nowMs = 16 * 60_000;
  expect(history.tagsAt("a", 1, known)).toEqual(known);
});
