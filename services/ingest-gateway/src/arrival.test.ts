import { describe, expect, test } from "@jest/globals";
import { DEFAULT_CLOCK_POLICY } from "@sluice/shared-types";
import fc from "fast-check";
import { createArrivals, timesOf } from "./arrival.ts";
import { admitPackets, checkPackets, createPacketGuard } from "./packet-guard.ts";

const NOW = Date.UTC(2026, 5, 1) * 1000;

describe("arrival times", () => {
  test("no two messages of a device share one, whatever the clock does", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: -5, max: 5 }), fc.integer({ min: 1, max: 9 }))),
        (steps) => {
          let clock = NOW;
          const arrivals = createArrivals(() => clock);
          const given = new Set<number>();
          let last = 0;
          for (const [step, count] of steps) {
            clock += step;
            const first = arrivals.take("d", count);
            expect(first).toBeGreaterThan(last);
            for (let i = 0; i < count; i++) given.add(first + i);
            last = first + count - 1;
          }
          expect(given.size).toBe(steps.reduce((sum, [, count]) => sum + count, 0));
        },
      ),
    );
  });

  test("samples without a time of their own are told apart; refused ones get none", () => {
    const claims = [{}, undefined, {}, { time: NOW / 1e6 - 60 }];
    expect(timesOf(claims, NOW, DEFAULT_CLOCK_POLICY)).toEqual({
      timesUs: [NOW, null, NOW + 1, NOW - 60_000_000],
      clock: ["none", "none", "none", "device"],
      fromServer: 2,
    });
  });
});

describe("the packet guard", () => {
  const packet = (length: number) => {
    const header = [0x30];
    for (let rest = length; ; ) {
      header.push((rest & 127) | (rest > 127 ? 128 : 0));
      rest >>= 7;
      if (rest === 0) break;
    }
    return Buffer.concat([Buffer.from(header), Buffer.alloc(length)]);
  };

  test("finds the one packet over the limit however the bytes are cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 20 }),
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }),
        fc.boolean(),
        (lengths, cuts, over) => {
          const guard = createPacketGuard(1000);
          admitPackets(guard);
          const bytes = Buffer.concat([...lengths.map(packet), ...(over ? [packet(1001)] : [])]);
          let fault: string | undefined;
          for (let at = 0, i = 0; at < bytes.length && !fault; i++) {
            const size = cuts[i % cuts.length] ?? 1;
            fault = checkPackets(guard, bytes.subarray(at, at + size));
            at += size;
          }
          expect(fault).toBe(over ? "too_large" : undefined);
        },
      ),
    );
  });

  test("a length of five bytes is no MQTT", () => {
    expect(checkPackets(createPacketGuard(1000), Buffer.from("10ffffffff7f", "hex"))).toBe("protocol_error");
  });
});
