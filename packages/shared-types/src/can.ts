import { InvalidInputError } from "./errors.ts";

/** One frame as it stands on `can:raw`: what `candump` saw. */
export interface CanFrame {
  /** `node << 8 | type`. */
  id: number;
  data: Uint8Array;
  /** Milliseconds since the epoch; undefined where nobody noted it. */
  tsMs?: number;
}

/** What a frame says, without its place. `null`: the sensor gave its marker for "no value". */
export type CanContent =
  | { kind: "PT100"; dryC: number | null; wetC: number | null; counter: number }
  | {
      kind: "BME280";
      temperatureC: number | null;
      humidityPct: number | null;
      pressureHpa: number | null;
    }
  | { kind: "SCD30"; co2Ppm: number | null; temperatureC: number | null; humidityPct: number | null }
  | { kind: "VL53"; distanceMm: number | null; ambient: number; signal: number }
  | { kind: "HEARTBEAT"; uptimeMs: number };

/** Where a CAN node stands. The map is fixed: a node that is not in it is refused, never guessed. */
export interface CanNode {
  node: number;
  /** Device id. */
  device: string;
  room: string;
  position: string;
  /** Ends the name of every sensor of the node. */
  suffix: string;
}

/** Every node there is. */
export const CAN_NODES: readonly CanNode[] = [
  { node: 1, device: "can-node-1", room: "Flower Room", position: "back", suffix: "b" },
  { node: 2, device: "can-node-2", room: "Flower Room", position: "front", suffix: "f" },
  { node: 3, device: "can-node-3", room: "Veg Room", position: "main", suffix: "v" },
  { node: 4, device: "can-node-4", room: "Lab", position: "main", suffix: "l" },
  { node: 5, device: "can-node-5", room: "Outside", position: "main", suffix: "o" },
];

/** The two probes of the laboratory hang in air and in water: they are no dry and wet bulb. */
const LAB_NODE = 4;
const INVALID_SIGNED = 0x7fff;
const INVALID_UNSIGNED = 0xffff;
const USED_BYTES = 6;

/**
 * The node of a frame's id.
 * @throws InvalidInputError `unknown_can_node`
 */
export function getCanNode(id: number): CanNode {
  const node = id >> 8;
  const found = CAN_NODES.find((one) => one.node === node);
  if (!found) throw new InvalidInputError("unknown_can_node", `no CAN node ${node} is known`);
  return found;
}

/**
 * Reads a frame by the frame table (type = lowest byte of the id, values big-endian but for the PT100 counter).
 * @throws InvalidInputError `bad_frame` where the type is not in the table, or bytes are missing or wrong
 */
export function decodeCanFrame({ id, data }: Pick<CanFrame, "id" | "data">): CanContent {
  const type = id & 0xff;
  if (data.length < USED_BYTES || data.length > 8) {
    throw new InvalidInputError("bad_frame", `a frame has 6 to 8 bytes, this one ${data.length}`);
  }
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const signed = (at: number) => {
    const raw = view.getInt16(at);
    return raw === INVALID_SIGNED ? null : raw / 100;
  };
  const unsigned = (at: number, divisor: number) => {
    const raw = view.getUint16(at);
    return raw === INVALID_UNSIGNED ? null : raw / divisor;
  };
  switch (type) {
    case 1:
      return { kind: "PT100", dryC: signed(0), wetC: signed(2), counter: view.getUint16(4, true) };
    case 2:
      return {
        kind: "BME280",
        temperatureC: signed(0),
        humidityPct: unsigned(2, 100),
        pressureHpa: unsigned(4, 10),
      };
    case 3: {
      // What the sensor sends while it has measured nothing yet.
      const nothing = view.getUint16(0) === 400 && view.getInt16(2) === 0 && view.getUint16(4) === 0;
      if (nothing) return { kind: "SCD30", co2Ppm: null, temperatureC: null, humidityPct: null };
      return {
        kind: "SCD30",
        co2Ppm: unsigned(0, 1),
        temperatureC: signed(2),
        humidityPct: unsigned(4, 100),
      };
    }
    case 4:
      return {
        kind: "VL53",
        distanceMm: unsigned(0, 1),
        ambient: view.getUint16(2),
        signal: view.getUint16(4),
      };
    case 5:
      if (view.getUint16(0) !== 0xaa55) {
        throw new InvalidInputError("bad_frame", "a heartbeat begins with AA 55");
      }
      return { kind: "HEARTBEAT", uptimeMs: view.getUint32(2) };
    default:
      throw new InvalidInputError("bad_frame", `frame type ${type} is not in the frame table`);
  }
}

/** Relative humidity and vapour pressure deficit from a dry and a wet bulb. */
export type Psychrometer = (dryC: number, wetC: number) => { humidityPct: number; vpdKpa: number };

/** The readings of a frame by sensor name, such as `dry_bulb_b`. */
export function readingsOfFrame(
  { node, suffix }: CanNode,
  content: CanContent,
  fromWetBulb: Psychrometer,
): Record<string, number | null> {
  const named = (fields: Record<string, number | null>) =>
    Object.fromEntries(Object.entries(fields).map(([name, value]) => [`${name}_${suffix}`, value]));
  switch (content.kind) {
    case "PT100": {
      const { dryC, wetC, counter } = content;
      if (node === LAB_NODE)
        return { lab_temp: dryC, water_temp: wetC, ...named({ message_count: counter }) };
      const air = dryC === null || wetC === null ? undefined : fromWetBulb(dryC, wetC);
      return named({
        dry_bulb: dryC,
        wet_bulb: wetC,
        rh: air?.humidityPct ?? null,
        vpd: air?.vpdKpa ?? null,
        message_count: counter,
      });
    }
    case "BME280":
      return named({
        secondary_temp: content.temperatureC,
        secondary_rh: content.humidityPct,
        pressure: content.pressureHpa,
      });
    case "SCD30":
      return named({ co2: content.co2Ppm, co2_temp: content.temperatureC, co2_rh: content.humidityPct });
    case "VL53":
      return named({
        water_level: content.distanceMm,
        water_level_ambient: content.ambient,
        water_level_signal: content.signal,
      });
    case "HEARTBEAT":
      return named({ uptime_ms: content.uptimeMs });
  }
}

/**
 * Reads the fields of an entry of `can:raw`: `id` ("0x123"), `data` (hex), `ts` (ms), `dlc`.
 * @throws InvalidInputError `bad_frame`
 */
export function parseCanFields(fields: Readonly<Record<string, unknown>>): CanFrame {
  const { id, data, ts, dlc } = fields;
  if (typeof id !== "string" || !/^(0x)?[0-9a-f]{1,8}$/i.test(id)) {
    throw new InvalidInputError("bad_frame", "id is no hexadecimal number");
  }
  if (typeof data !== "string" || !/^(?:[0-9a-f]{2} ?){0,8}$/i.test(data.trim())) {
    throw new InvalidInputError("bad_frame", "data is not up to eight bytes in hexadecimal");
  }
  const bytes = Buffer.from(data.replaceAll(" ", ""), "hex");
  if (dlc !== undefined && dlc !== null && String(dlc) !== "" && Number(dlc) !== bytes.length) {
    throw new InvalidInputError(
      "bad_frame",
      `dlc says ${String(dlc).slice(0, 8)}, data has ${bytes.length} bytes`,
    );
  }
  const frame: CanFrame = { id: Number.parseInt(id.replace(/^0x/i, ""), 16), data: bytes };
  if (ts === undefined || ts === null || ts === "") return frame;
  const tsMs = Number(ts);
  if (!Number.isFinite(tsMs)) throw new InvalidInputError("bad_frame", "ts is no number of milliseconds");
  return { ...frame, tsMs };
}

const DECODED_KINDS: readonly [pattern: RegExp, kind: CanContent["kind"]][] = [
  [/^PT100/i, "PT100"],
  [/^BME/i, "BME280"],
  [/^SCD/i, "SCD30"],
  [/^VL53/i, "VL53"],
  [/^HEARTBEAT/i, "HEARTBEAT"],
];

/**
 * The readings of a message that the source system had decoded itself (`decoded_data`), under the same sensor names
 * as those of a frame. What it computed is taken over where it is there, and not computed anew.
 * @throws InvalidInputError `bad_frame` where the type is unknown, or nothing of it is a reading
 */
export function readingsOfDecoded(
  node: CanNode,
  messageType: string,
  decoded: Readonly<Record<string, unknown>>,
): { kind: CanContent["kind"]; readings: Record<string, number | null> } {
  const kind = DECODED_KINDS.find(([pattern]) => pattern.test(messageType.trim()))?.[1];
  if (!kind) throw new InvalidInputError("bad_frame", "the message type is not in the frame table");
  const { suffix } = node;
  const lab = node.node === LAB_NODE;
  const noData =
    kind === "SCD30" &&
    Number(decoded.co2_ppm) === 400 &&
    Number(decoded.temperature_c) === 0 &&
    Number(decoded.humidity_percent) === 0;
  const readings: Record<string, number | null> = {};
  for (const [key, name] of Object.entries(DECODED_NAMES[kind])) {
    if (!(key in decoded)) continue;
    const laboratory = lab && kind === "PT100" ? LAB_NAMES[key] : undefined;
    readings[laboratory ?? `${name}_${suffix}`] = noData ? null : toReading(decoded[key]);
  }
  if (Object.keys(readings).length === 0)
    throw new InvalidInputError("bad_frame", "decoded_data holds no value of the frame table");
  return { kind, readings };
}

const LAB_NAMES: Readonly<Record<string, string>> = { temp_dry_c: "lab_temp", temp_wet_c: "water_temp" };
const DECODED_NAMES: Readonly<Record<CanContent["kind"], Readonly<Record<string, string>>>> = {
  PT100: {
    temp_dry_c: "dry_bulb",
    temp_wet_c: "wet_bulb",
    rh_percent: "rh",
    vpd_kpa: "vpd",
    message_count: "message_count",
  },
  BME280: { temperature_c: "secondary_temp", humidity_percent: "secondary_rh", pressure_hpa: "pressure" },
  SCD30: { co2_ppm: "co2", temperature_c: "co2_temp", humidity_percent: "co2_rh" },
  VL53: { distance_mm: "water_level", ambient: "water_level_ambient", signal: "water_level_signal" },
  HEARTBEAT: { uptime_ms: "uptime_ms" },
};

function toReading(value: unknown): number | null {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : null;
}
