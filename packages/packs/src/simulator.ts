import { z } from "zod";

const Minutes = z.number().positive();
const Hour = z.number().min(0).max(24);

/** How a number goes through the day; every part is added, but for `hourly`, which multiplies `base`. */
export const Wave = z.strictObject({
  base: z.number(),
  /** Factors at 0, 1, … 23 o'clock; between them it is interpolated. */
  hourly: z.array(z.number()).length(24).optional(),
  /** A smooth day: amplitude above and below, highest at `peakHour`. */
  swing: z.strictObject({ amplitude: z.number(), peakHour: Hour }).optional(),
  /** Slow weather, the same for all devices, so many hours from one extreme to the next. */
  weather: z.strictObject({ amplitude: z.number(), hours: z.number().positive().default(6) }).optional(),
  /** Amplitude and period of the sensor's own noise. */
  noise: z.number().default(0),
  noiseMinutes: Minutes.default(5),
  /** Greatest constant difference between devices. */
  bias: z.number().default(0),
  min: z.number().optional(),
  max: z.number().optional(),
  decimals: z.int().min(0).max(6).default(2),
});

const Value = z.union([z.number(), z.string(), z.null()]);

/** One of several values, held for a while, drawn anew by weight. */
export const Choice = z.strictObject({
  choices: z.array(z.strictObject({ value: Value, weight: z.number().positive().default(1) })).min(1),
  everyMinutes: Minutes,
});

/** A counter: what another field of the device has come to, times `perSecond`. */
export const Counter = z.strictObject({
  counterOf: z.string(),
  perSecond: z.number(),
  decimals: z.int().min(0).max(6).default(3),
});

const Shape = z.union([Wave, Choice, Counter, Value]);

/** What a field shows: one shape, or one for each state of the device. `null` sends nothing known (off). */
export const FieldModel = z.union([Shape, z.strictObject({ states: z.record(z.string(), Shape) })]);

/** When a device is in which state; the first line that fits counts. Days: 0 is Sunday. */
export const Shift = z.strictObject({
  state: z.string().min(1),
  days: z.array(z.int().min(0).max(6)).default([0, 1, 2, 3, 4, 5, 6]),
  fromHour: Hour,
  toHour: Hour,
});

/**
 * What goes wrong now and then: once in every `everyHours`, for `lastsMinutes`. Faults of one name, times included, come
 * together in all their fields.
 */
export const Fault = z.strictObject({
  name: z.string().min(1),
  field: z.string(),
  /** `hold`: hangs at its last value; `missing`: sends none; `add` and `multiply` by `amount`; `set` to it. */
  kind: z.enum(["add", "multiply", "set", "hold", "missing"]),
  amount: z.number().default(0),
  everyHours: z.number().positive(),
  lastsMinutes: Minutes,
  /** Only these of the devices, from 1; without it all of them, each at its own times. */
  devices: z.array(z.int().positive()).optional(),
});

/** Devices that are alike. */
export const DeviceModel = z.strictObject({
  /** Device id; `{n}` is its number from 1. */
  id: z.string().regex(/^[A-Za-z0-9_{}-]{1,60}$/, "is letters, digits, '_', '-' and '{n}'"),
  count: z.int().min(1).max(10_000).default(1),
  type: z.string().min(1).max(50),
  everySeconds: z.number().positive(),
  /** Only fields that changed are sent, as machines log. */
  onChange: z.boolean().default(false),
  /** Where it stands and what it is, for the demo to register: e.g. node_type and zone of a water node. */
  attributes: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).default({}),
  /** State outside all shifts. */
  state: z.string().min(1).default("on"),
  shifts: z.array(Shift).default([]),
  /** Short interruptions of a state: about every `everyMinutes`, for `lastsMinutes`, another one. */
  stops: z
    .array(
      z.strictObject({
        during: z.string(),
        state: z.string(),
        everyMinutes: Minutes,
        lastsMinutes: Minutes,
      }),
    )
    .default([]),
  fields: z.record(z.string(), FieldModel),
  faults: z.array(Fault).default([]),
});

/** `simulator.json`: the devices of a demonstration. Times of day are UTC. */
export const Simulator = z.strictObject({ devices: z.array(DeviceModel).min(1) });

export type Wave = z.output<typeof Wave>;
export type Shape = z.output<typeof Shape>;
export type FieldModel = z.output<typeof FieldModel>;
export type Fault = z.output<typeof Fault>;
export type DeviceModel = z.output<typeof DeviceModel>;
export type Simulator = z.output<typeof Simulator>;
