import { hashUnit, smoothNoise } from "./noise.ts";
import type { DeviceModel, Fault, FieldModel, Shape, Wave } from "./simulator.ts";

/** A value of a simulated field: null is sent as null, "not known" (off). */
export type SimulatedValue = number | string | null;

/** A simulated device at work: ask it for one instant after the other. */
export interface SimulatedDevice {
  readonly id: string;
  readonly type: string;
  readonly model: DeviceModel;
  /** Readings at an instant, later than the last one asked for; with `onChange` only those that changed. */
  read(timeMs: number): Record<string, SimulatedValue>;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** Counters begin here, so that one goes on where it was when a simulation is started again. */
const COUNTER_EPOCH_MS = Date.UTC(2024, 0, 1);

/** Every device of a model, in order. The same seed and instants always give the same readings. */
export function createSimulatedDevices(models: readonly DeviceModel[], seed: number): SimulatedDevice[] {
  return models.flatMap((model, kind) =>
    Array.from({ length: model.count }, (_, i) => createDevice(model, seed * 7919 + kind * 104_729, i + 1)),
  );
}

function createDevice(model: DeviceModel, seed: number, number: number): SimulatedDevice {
  const sent = new Map<string, SimulatedValue>();
  const counters = new Map<string, { total: number; atMs: number }>();
  const own = seed + number * 977;

  const shapeAt = (field: FieldModel, state: string): Shape =>
    field !== null && typeof field === "object" && "states" in field ? (field.states[state] ?? null) : field;

  const count = (
    name: string,
    shape: Extract<Shape, { counterOf: string }>,
    value: SimulatedValue,
    timeMs: number,
  ) => {
    const rate = typeof value === "number" ? value * shape.perSecond : 0;
    const last = counters.get(name) ?? { total: (rate * (timeMs - COUNTER_EPOCH_MS)) / 1000, atMs: timeMs };
    const total = last.total + (Math.max(0, rate) * (timeMs - last.atMs)) / 1000;
    counters.set(name, { total, atMs: timeMs });
    return round(total, shape.decimals);
  };

  return {
    id: model.id.replaceAll("{n}", String(number)),
    type: model.type,
    model,
    read(timeMs) {
      const state = stateAt(model, own, timeMs);
      const values: Record<string, SimulatedValue> = {};
      for (const [i, [name, field]] of Object.entries(model.fields).entries()) {
        const shape = shapeAt(field, state);
        const value = isCounter(shape)
          ? count(name, shape, values[shape.counterOf] ?? null, timeMs)
          : drawValue(shape, { seed, own: own + i * 31, number, timeMs });
        const shown = withFaults(model, name, value, sent.get(name), { own, number, timeMs });
        if (shown !== undefined) values[name] = shown;
      }
      const changed = Object.entries(values).filter(
        ([name, value]) => !model.onChange || sent.get(name) !== value,
      );
      for (const [name, value] of changed) sent.set(name, value);
      return Object.fromEntries(changed);
    },
  };
}

const isCounter = (shape: Shape): shape is Extract<Shape, { counterOf: string }> =>
  shape !== null && typeof shape === "object" && "counterOf" in shape;

interface Moment {
  /** The same for devices that are alike: weather. */
  seed: number;
  own: number;
  number: number;
  timeMs: number;
}

function drawValue(shape: Exclude<Shape, { counterOf: string }>, moment: Moment): SimulatedValue {
  if (shape === null || typeof shape !== "object") return shape;
  if ("base" in shape) return waveAt(shape, moment);
  const slot = Math.floor(moment.timeMs / (shape.everyMinutes * MINUTE_MS));
  let left = hashUnit(moment.own, slot) * shape.choices.reduce((sum, { weight }) => sum + weight, 0);
  for (const { value, weight } of shape.choices) {
    left -= weight;
    if (left < 0) return value;
  }
  return shape.choices.at(-1)?.value ?? null;
}

function waveAt(wave: Wave, { seed, own, timeMs }: Moment): number {
  const hour = (timeMs % DAY_MS) / HOUR_MS;
  const { swing, weather } = wave;
  const value =
    (wave.base + wave.bias * (hashUnit(own, 1) * 2 - 1)) * (wave.hourly ? factorAt(wave.hourly, hour) : 1) +
    (swing ? swing.amplitude * Math.cos(((hour - swing.peakHour) / 24) * 2 * Math.PI) : 0) +
    (weather ? weather.amplitude * smoothNoise(seed, timeMs, weather.hours * HOUR_MS) : 0) +
    wave.noise * smoothNoise(own, timeMs, wave.noiseMinutes * MINUTE_MS);
  return round(Math.min(wave.max ?? Infinity, Math.max(wave.min ?? -Infinity, value)), wave.decimals);
}

function factorAt(hourly: readonly number[], hour: number): number {
  const at = Math.floor(hour);
  const a = hourly[at % 24] ?? 1;
  const b = hourly[(at + 1) % 24] ?? 1;
  return a + (b - a) * (hour - at);
}

function stateAt(model: DeviceModel, own: number, timeMs: number): string {
  const date = new Date(timeMs);
  const hour = (timeMs % DAY_MS) / HOUR_MS;
  const shift = model.shifts.find(
    ({ days, fromHour, toHour }) => days.includes(date.getUTCDay()) && hour >= fromHour && hour < toHour,
  );
  const state = shift?.state ?? model.state;
  const stop = model.stops.find(
    ({ during, everyMinutes, lastsMinutes }, i) =>
      during === state && isActive(own + i * 17, timeMs, everyMinutes * MINUTE_MS, lastsMinutes * MINUTE_MS),
  );
  return stop?.state ?? state;
}

/** Once in every stretch of `everyMs`, at a time of its own, for `lastsMs`. */
function isActive(seed: number, timeMs: number, everyMs: number, lastsMs: number): boolean {
  const slot = Math.floor(timeMs / everyMs);
  const startMs = slot * everyMs + hashUnit(seed, slot) * Math.max(0, everyMs - lastsMs);
  return timeMs >= startMs && timeMs < startMs + lastsMs;
}

function withFaults(
  model: DeviceModel,
  field: string,
  value: SimulatedValue,
  before: SimulatedValue | undefined,
  { own, number, timeMs }: Pick<Moment, "own" | "number" | "timeMs">,
): SimulatedValue | undefined {
  let shown: SimulatedValue | undefined = value;
  for (const fault of model.faults) {
    if (fault.field !== field || (fault.devices && !fault.devices.includes(number))) continue;
    const seed = own + nameSeed(fault.name);
    if (!isActive(seed, timeMs, fault.everyHours * HOUR_MS, fault.lastsMinutes * MINUTE_MS)) continue;
    shown = broken(fault, shown, before);
  }
  return shown;
}

/** Faults of one name come together, whatever field they are in: a leak takes pressure and adds flow. */
const nameSeed = (name: string) =>
  [...name].reduce((sum, letter) => sum * 31 + (letter.codePointAt(0) ?? 0), 7) % 1e9;

function broken(
  { kind, amount }: Fault,
  value: SimulatedValue | undefined,
  before: SimulatedValue | undefined,
): SimulatedValue | undefined {
  if (kind === "missing") return undefined;
  if (kind === "set") return amount;
  if (kind === "hold") return before ?? value;
  if (typeof value !== "number") return value;
  return round(kind === "add" ? value + amount : value * amount, 6);
}

function round(value: number, decimals: number): number {
  const scale = 10 ** decimals;
  return Math.round(value * scale) / scale;
}
