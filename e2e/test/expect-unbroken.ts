import { expect } from "@jest/globals";
import { patience } from "@sluice/testkit";
import { fuzzGateway } from "../src/fuzz-gateway.ts";

/** Sends mutations of the kept corpus for so long, or `FUZZ_SECONDS`, from this seed, or `FUZZ_SEED`; nothing may break. */
export async function expectUnbroken(usual: { seconds: number; seed: number }): Promise<void> {
  const seconds = Number(process.env.FUZZ_SECONDS ?? usual.seconds);
  const result = await fuzzGateway({ seconds, seed: Number(process.env.FUZZ_SEED ?? usual.seed) });
  expect(result.inputs).toBeGreaterThan(seconds * 10);
  expect(result.failed.map(({ bytes }) => bytes.toString("latin1").slice(0, 200))).toEqual([]);
  expect(result.defects).toEqual([]);
  expect(result.sameProcess).toBe(true);
  expect(result.residentMb).toBeLessThan(400);
  expect(result.goodDeviceMs).toBeLessThan(patience(1500));
}
