import { test } from "@jest/globals";
import { expectUnbroken } from "./expect-unbroken.ts";

test("mutations of the kept corpus on the MQTT port and the HTTP parser break nothing", () =>
  expectUnbroken({ seconds: 180, seed: 2 }));
