import { expect, test } from "@jest/globals";
import { decodeCanFrame, getCanNode, parseCanFields, readingsOfFrame } from "./can.ts";
import { parseCandump } from "./candump.ts";

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
const air = () => ({ humidityPct: 61.5, vpdKpa: 1.1 });
const read = (id: number, data: string) => {
  const node = getCanNode(id);
  return readingsOfFrame(node, decodeCanFrame({ id, data: hex(data) }), air);
};

test("a PT100 frame has big-endian bulbs and a little-endian counter", () => {
  expect(read(0x101, "09 C4 07 D0 01 02 00 00")).toEqual({
    dry_bulb_b: 25,
    wet_bulb_b: 20,
    rh_b: 61.5,
    vpd_b: 1.1,
    message_count_b: 0x0201,
  });
  expect(read(0x501, "FF 38 FE 0C 00 00")).toMatchObject({ dry_bulb_o: -2, wet_bulb_o: -5 });
});

test("an invalid marker becomes null, and with it what was to be computed from it", () => {
  expect(read(0x201, "7F FF 07 D0 01 00 00 00")).toMatchObject({
    dry_bulb_f: null,
    wet_bulb_f: 20,
    rh_f: null,
    vpd_f: null,
  });
  expect(read(0x302, "7FFF FFFF FFFF 0000")).toEqual({
    secondary_temp_v: null,
    secondary_rh_v: null,
    pressure_v: null,
  });
});

test("400/0/0 of an SCD30 means that it has no data", () => {
  expect(read(0x203, "0190 0000 0000 0000")).toEqual({ co2_f: null, co2_temp_f: null, co2_rh_f: null });
  expect(read(0x203, "0190 0001 0000 0000")).toEqual({ co2_f: 400, co2_temp_f: 0.01, co2_rh_f: 0 });
});

test("BME280, VL53, heartbeat and the laboratory's probes", () => {
  expect(read(0x102, "0866 157C 2796 0000")).toEqual({
    secondary_temp_b: 21.5,
    secondary_rh_b: 55,
    pressure_b: 1013.4,
  });
  expect(read(0x304, "01F4 0010 0020 0000")).toEqual({
    water_level_v: 500,
    water_level_ambient_v: 16,
    water_level_signal_v: 32,
  });
  expect(read(0x105, "AA55 0001 86A0 0000")).toEqual({ uptime_ms_b: 100_000 });
  expect(read(0x401, "0898 0708 0100 0000")).toEqual({ lab_temp: 22, water_temp: 18, message_count_l: 1 });
});

test("TRAP: an unknown node is refused, not taken for the flower room's back", () => {
  for (const id of [0x001, 0x601, 0xff01, 0x1fffff01])
    expect(() => getCanNode(id)).toThrow(expect.objectContaining({ code: "unknown_can_node" }));
});

test("a frame that is not in the table is bad", () => {
  for (const [id, data] of [
    [0x101, "09 C4 07 D0"],
    [0x106, "00 00 00 00 00 00"],
    [0x105, "55 AA 00 00 00 01"],
  ] as const)
    expect(() => decodeCanFrame({ id, data: hex(data) })).toThrow(
      expect.objectContaining({ code: "bad_frame" }),
    );
  for (const fields of [
    { id: "zz", data: "00" },
    { id: "0x101", data: "0" },
    { id: "0x101", data: "00".repeat(9) },
    { id: "0x101", data: "0000", dlc: "8" },
    { id: "0x101", data: "0000", ts: "soon" },
    { data: "0000" },
  ])
    expect(() => parseCanFields(fields)).toThrow(expect.objectContaining({ code: "bad_frame" }));
});

test("candump lines of both formats become the documented fields", () => {
  const fields = { id: "0x123", data: "DEADBEEF", ts: "1436509052249", dlc: "4" };
  expect(parseCandump("(1436509052.249713) can0 123#DEADBEEF", 0)).toEqual(fields);
  expect(parseCandump("(1436509052.249713) can0 123#DE.AD.BE.EF R", 0)).toEqual(fields);
  expect(parseCandump("  can0  123   [4]  DE AD BE EF", 7)).toEqual({ ...fields, ts: "7" });
  expect(parseCandump(" (1436509052.249713)  can0  123   [4]  DE AD BE EF   'ABCD'", 0)).toEqual(fields);
  expect(parseCandump("", 0)).toBeUndefined();
  for (const bad of ["hello", "(1.0) can0 123#DEA", "can0 123 [8] DE AD", "(1.0) can0 123#R"])
    expect(() => parseCandump(bad, 0)).toThrow(expect.objectContaining({ code: "bad_frame" }));
});
