import { expect, test } from "@jest/globals";
import { createLimiter } from "./log.ts";

test("a thing is said once in a while, and the next line says how often it was held back", () => {
  const mayLog = createLimiter(1000);
  expect(mayLog("a", 0)).toBe(0);
  expect([mayLog("a", 1), mayLog("a", 999)]).toEqual([undefined, undefined]);
  expect(mayLog("b", 999)).toBe(0);
  expect(mayLog("a", 1000)).toBe(2);
  expect(mayLog("a", 1999)).toBeUndefined();
});

test("whoever comes under ever new names cannot fill the memory: the oldest is forgotten", () => {
  const mayLog = createLimiter(1000, 3);
  for (const key of ["a", "b", "c", "d"]) expect(mayLog(key, 0)).toBe(0);
  expect([mayLog("d", 1), mayLog("c", 1), mayLog("b", 1)]).toEqual([undefined, undefined, undefined]);
  // Forgotten, so said again; that takes the place of the next oldest.
  expect(mayLog("a", 1)).toBe(0);
  expect(mayLog("b", 1)).toBe(0);
});
