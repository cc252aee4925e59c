import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createInterface } from "node:readline";
import { DEVICE_ID, InvalidInputError, parsePayload, parseTime } from "@sluice/shared-types";
import { FileError } from "../csv/open-csv.ts";
import type { Table } from "../csv/open-table.ts";
import type { RowResult, TimeBounds } from "../csv/read-row.ts";
import { parseLineProtocol } from "./parse-line-protocol.ts";

/** How to read a file of lines. */
export interface LinesOptions {
  bounds: TimeBounds;
  /** Device of lines that name none. */
  device?: string;
  timeZone: string;
}

/** Unit of the times of line protocol. */
export type Precision = "ns" | "us" | "ms" | "s";

const PER_US: Readonly<Record<Precision, { times: bigint; by: bigint }>> = {
  ns: { times: 1n, by: 1000n },
  us: { times: 1n, by: 1n },
  ms: { times: 1000n, by: 1n },
  s: { times: 1_000_000n, by: 1n },
};
/** Measurements that only say that these are readings: their fields keep their names. */
const PLAIN = new Set(["sensor_reading", "telemetry"]);

/** Opens a file of InfluxDB line protocol. @throws FileError */
export function openLineProtocol(
  path: string,
  options: LinesOptions & { precision: Precision; deviceTag?: string },
): Promise<Table> {
  const { times, by } = PER_US[options.precision];
  return openLines(path, (line) => {
    if (line.startsWith("#")) return [{ skipped: "header", cellsSkipped: {} }];
    const point = parseLineProtocol(line);
    if (!point) return [{ skipped: "bad_line", cellsSkipped: {} }];
    const { tags, measurement } = point;
    const tag =
      options.deviceTag === undefined ? (tags.device_id ?? tags.sensor_id) : tags[options.deviceTag];
    const named = Object.entries(point.fields).map(([field, value]) => {
      if (field === "value") return [measurement, value] as const;
      return [PLAIN.has(measurement) ? field : `${measurement}.${field}`, value] as const;
    });
    const timeUs = point.time === undefined ? undefined : Number((point.time * times) / by);
    return [rowOf(options, tag, timeUs, Object.fromEntries(named))];
  });
}

/** Opens a file with one JSON payload a line, in any variant a device may send. @throws FileError */
export function openJsonLines(path: string, options: LinesOptions & { type: string }): Promise<Table> {
  return openLines(path, (line) => {
    try {
      const payload = parsePayload(JSON.parse(line), options.type);
      const bad: RowResult[] = payload.refused.map(() => ({ skipped: "bad_line", cellsSkipped: {} }));
      return [
        ...payload.samples.map(({ time, readings }) =>
          rowOf(
            options,
            payload.device,
            parseTime(time, options.timeZone),
            Object.fromEntries(readings.map(({ field, value }) => [field, value])),
          ),
        ),
        ...bad,
      ];
    } catch (error) {
      if (!(error instanceof InvalidInputError) && !(error instanceof SyntaxError)) throw error;
      return [{ skipped: "bad_line", cellsSkipped: {} }];
    }
  });
}

function rowOf(
  { bounds, device: fallback }: LinesOptions,
  named: string | undefined,
  timeUs: number | undefined,
  readings: Record<string, number | string | boolean | null>,
): RowResult {
  const device = named ?? fallback;
  if (device === undefined || !DEVICE_ID.test(device)) return { skipped: "bad_device", cellsSkipped: {} };
  if (timeUs === undefined) return { skipped: "bad_time", cellsSkipped: {} };
  if (timeUs < bounds.fromUs || timeUs > bounds.toUs) return { skipped: "out_of_bounds", cellsSkipped: {} };
  const row = { timeUs, devices: new Map([[device, readings]]), readings: Object.keys(readings).length };
  return { row, cellsSkipped: {} };
}

async function openLines(path: string, read: (line: string) => RowResult[]): Promise<Table> {
  const facts = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new FileError(`${path} cannot be read: ${error.code}`, { cause: error });
  });
  if (!facts.isFile()) throw new FileError(`${path} is no file`);
  const input = createReadStream(path);
  const rows = async function* () {
    let number = 0;
    for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      number++;
      const line = text.trim();
      if (line === "") yield { line: number, skipped: "blank" as const, cellsSkipped: {} };
      else for (const result of read(line)) yield { line: number, ...result };
    }
  };
  return {
    map: { timeColumn: 0, columns: [], numbers: { decimal: "." }, width: 0 },
    sizeBytes: facts.size,
    readBytes: () => input.bytesRead,
    rows: rows(),
    close: async () => void input.destroy(),
  };
}
