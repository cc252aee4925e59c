import { createHash } from "node:crypto";

/** A column of a greenhouse export: which series of which device it is. */
export interface SeriesColumn {
  /** Index of the column in the file. */
  index: number;
  /** As it stands in the file. */
  header: string;
  device: string;
  field: string;
  /** Empty where the header names none. */
  unit: string;
}

const AGGREGATES: Record<string, string> = {
  averages: "avg",
  average: "avg",
  minimums: "min",
  minimum: "min",
  maximums: "max",
  maximum: "max",
  sums: "sum",
  sum: "sum",
  counts: "count",
};

/**
 * Maps every named column after the first to a device and a field, from its header alone:
 * `Sensor PMC (21B) - Air temperature (°C) - averages` at 5-minute steps is `air_temperature_avg_5m` of
 * `<prefix>-sensor-pmc-21b` in °C. The step is part of the field because an average over five minutes and one
 * over an hour are different values at the same instant. Two columns of one name get `_2`, `_3` in file order.
 */
export function mapGreenhouseHeader(
  headers: readonly string[],
  options: { prefix: string; step?: string },
): SeriesColumn[] {
  const taken = new Map<string, number>();
  const columns: SeriesColumn[] = [];
  for (const [index, header] of headers.entries()) {
    if (index === 0 || header.trim() === "") continue;
    const { sensor, quantity, unit, aggregate } = splitHeader(header);
    const device = deviceId(options.prefix, sensor);
    const suffix = aggregate ? `_${aggregate}${options.step ? `_${options.step}` : ""}` : "";
    const field = `${slug(quantity, "_") || `column_${index + 1}`}${suffix}`.slice(0, 120);
    const key = `${device} ${field}`;
    const times = (taken.get(key) ?? 0) + 1;
    taken.set(key, times);
    columns.push({ index, header, device, field: times === 1 ? field : `${field}_${times}`, unit });
  }
  return columns;
}

interface HeaderParts {
  sensor: string;
  quantity: string;
  unit: string;
  /** Short name of the aggregate; undefined where the header names none. */
  aggregate?: string;
}

/** Takes `<sensor> - <quantity> (<unit>) - <aggregate>` apart; the sensor may itself contain ` - `. */
function splitHeader(header: string): HeaderParts {
  const parts = header.split(" - ").map((part) => part.trim());
  const aggregate = AGGREGATES[(parts.at(-1) ?? "").toLowerCase()];
  if (aggregate && parts.length > 1) parts.pop();
  const last = parts.pop() ?? "";
  const withUnit = /^(.*?)\s*\(([^()]*)\)$/.exec(last);
  const quantity = withUnit?.[1] ?? last;
  const unit = (withUnit?.[2] ?? "").trim();
  // `raamstand - %  (afd 4)`: the sensor's own mention of the unit says nothing more
  const sensor = parts
    .join(" - ")
    .replace(/\s+-\s+([^\s()]+)(?=\s*(?:\(|$))/g, (all, token: string) => (sameUnit(token, unit) ? "" : all));
  return aggregate ? { sensor, quantity, unit, aggregate } : { sensor, quantity, unit };
}

const sameUnit = (a: string, b: string) => a.normalize("NFKC") === b.normalize("NFKC");

/** Lower-case ASCII words joined by `joint`; accents are dropped, other signs part words. */
export function slug(text: string, joint: "-" | "_"): string {
  return text
    .replaceAll(/[µμ]/g, "u")
    .normalize("NFKD")
    .replaceAll(/\p{M}/gu, "")
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, joint)
    .replace(/^[-_]+|[-_]+$/g, "");
}

function deviceId(prefix: string, sensor: string): string {
  const id = [prefix, slug(sensor, "-")].filter((part) => part !== "").join("-") || "greenhouse";
  if (id.length <= 64) return id;
  return `${id.slice(0, 55)}-${createHash("sha256").update(id).digest("hex").slice(0, 8)}`;
}
