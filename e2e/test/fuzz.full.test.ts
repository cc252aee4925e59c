import { expect, test } from "@jest/globals";
import { fuzzGateway } from "../src/fuzz-gateway.ts";

const SECONDS = Number(process.env.FUZZ_SECONDS ?? 180);
const SEED = Number(process.env.FUZZ_SEED ?? 2);

test(
  "mutations of the kept corpus on the MQTT port and the HTTP parser break nothing",
  async () => {
    const result = await fuzzGateway({ seconds: SECONDS, seed: SEED });
    expect(result.inputs).toBeGreaterThan(SECONDS * 50);
    expect(result.failed.map(({ bytes }) => bytes.toString("latin1").slice(0, 200))).toEqual([]);
    expect(result.defects).toEqual([]);
    expect(result.sameProcess).toBe(true);
    expect(result.residentMb).toBeLessThan(400);
    expect(result.goodDeviceMs).toBeLessThan(1500);
  },
  (SECONDS + 60) * 1000,
);
