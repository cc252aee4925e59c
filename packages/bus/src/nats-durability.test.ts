import { expect, test } from "@jest/globals";
import { findUnsafe } from "./nats-durability.ts";

const safe = { version: "2.10.24", replicas: 3, monitor: "http://127.0.0.1:8222" };
const always = { jetstream: { config: { sync_interval: 120_000_000_000, sync_always: true } } };

test("three replicas that sync always are safe; anything less is named", () => {
  expect(findUnsafe(safe, always)).toEqual([]);
  expect(findUnsafe({ ...safe, replicas: 1 }, always)).toEqual([expect.stringContaining("three replicas")]);
  expect(findUnsafe(safe, { jetstream: { config: { sync_interval: 120_000_000_000 } } })).toEqual([
    "sync_interval is not always",
  ]);
});

test("a server too old to be told is named, and one that was not asked is told how", () => {
  expect(findUnsafe({ ...safe, version: "2.9.10" }, undefined)).toEqual([expect.stringContaining("2.9.10")]);
  expect(findUnsafe({ ...safe, monitor: undefined }, undefined)).toEqual([
    expect.stringContaining("?monitor="),
  ]);
});
