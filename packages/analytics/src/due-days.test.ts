import { expect, test } from "@jest/globals";
import { dueDays } from "./due-days.ts";

const days = (...list: [rows: number, doneRows?: number][]) =>
  list.map(([rows, doneRows], dayMs) => ({ dayMs, rows, doneRows }));

test("holes are due, wherever they are", () => {
  expect(dueDays(days([5, 5], [5], [5, 5], [0], [0, 0]))).toEqual([1, 3]);
});

test("a day that changed is due, with those that its last values reach into", () => {
  expect(dueDays(days([5, 5], [6, 5], [0, 0], [0, 0], [3, 3], [3, 3]))).toEqual([1, 2, 3, 4]);
  expect(dueDays(days([6, 5], [3, 3], [0, 0], [3, 3]))).toEqual([0, 1]);
});
