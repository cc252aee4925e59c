import { encodeMessage, PAYLOAD_LIMITS } from "@sluice/shared-types";

/** Readings of devices at one instant; null where a sensor gave no value. */
export interface SampleRow {
  timeUs: number;
  devices: ReadonlyMap<string, Record<string, number | string | boolean | null>>;
}

/** How rows become messages. */
export interface MessageOptions {
  type: string;
  /** When the import began, microseconds: the arrival time of all its messages. */
  receivedUs: number;
  /** Corrections replace what is stored. */
  replace?: boolean;
}

/** A message ready for the bus. */
export interface BuiltMessage {
  device: string;
  text: string;
  readings: number;
}

/** Collects the rows of each device into messages of many samples. */
export interface MessageBuilder {
  /** Takes a row; gives the messages that became full by it. */
  add(row: SampleRow): BuiltMessage[];
  /** The messages that are not full yet. */
  flush(): BuiltMessage[];
}

interface Open {
  samples: string[];
  timesUs: number[];
  bytes: number;
  readings: number;
}

const SAMPLES_PER_MESSAGE = 100;
// below what quarantine keeps of a payload, so that a refused message can be replayed in full
const BYTES_PER_MESSAGE = 48_000;
const OPEN_BYTES = 8_000_000;

/** Makes messages with the source `import`; a device's samples keep the order of the rows. */
export function createMessageBuilder(options: MessageOptions): MessageBuilder {
  const open = new Map<string, Open>();
  let openBytes = 0;
  const close = (device: string, message: Open): BuiltMessage => {
    open.delete(device);
    openBytes -= message.bytes;
    return { device, text: encode(device, message, options), readings: message.readings };
  };
  const flush = () => [...open].map(([device, message]) => close(device, message));
  return {
    flush,
    add(row) {
      const full: BuiltMessage[] = [];
      for (const [device, readings] of row.devices) {
        for (const { text: sample, count } of samplesOf(row.timeUs, readings)) {
          const current = open.get(device);
          if (current && current.bytes + sample.length > BYTES_PER_MESSAGE) full.push(close(device, current));
          const message = open.get(device) ?? { samples: [], timesUs: [], bytes: 0, readings: 0 };
          open.set(device, message);
          message.samples.push(sample);
          message.timesUs.push(row.timeUs);
          message.bytes += sample.length;
          message.readings += count;
          openBytes += sample.length;
          if (message.samples.length >= SAMPLES_PER_MESSAGE) full.push(close(device, message));
        }
      }
      if (openBytes > OPEN_BYTES) full.push(...flush());
      return full;
    },
  };
}

/** JSON of the samples of one device at one instant: several where it has more fields than one may carry. */
function samplesOf(
  timeUs: number,
  readings: Record<string, number | string | boolean | null>,
): { text: string; count: number }[] {
  const fields = Object.entries(readings);
  const samples: { text: string; count: number }[] = [];
  for (let i = 0; i < fields.length; i += PAYLOAD_LIMITS.fields) {
    const some = fields.slice(i, i + PAYLOAD_LIMITS.fields);
    const text = JSON.stringify({ ts: isoOf(timeUs), data: Object.fromEntries(some) });
    samples.push({ text, count: some.length });
  }
  return samples;
}

/** ISO 8601 in UTC, with microseconds only where there are any. */
export function isoOf(timeUs: number): string {
  const iso = new Date(Math.floor(timeUs / 1000)).toISOString();
  const rest = timeUs - Math.floor(timeUs / 1000) * 1000;
  return rest === 0 ? iso : `${iso.slice(0, -1)}${String(rest).padStart(3, "0")}Z`;
}

function encode(device: string, message: Open, options: MessageOptions): string {
  return encodeMessage(
    {
      device,
      kind: "telemetry",
      type: options.type,
      source: "import",
      receivedUs: options.receivedUs,
      timesUs: message.timesUs,
      clock: "device",
      ...(options.replace ? { correction: true as const } : {}),
    },
    `[${message.samples.join(",")}]`,
  );
}
