/** What the Explore page shows; it stands in the URL, so that a link shows the same. */
export interface View {
  /** `device/field` */
  sensors: readonly string[];
  /** A span up to now, in milliseconds, or a fixed stretch. */
  span: { lastMs: number } | { fromMs: number; toMs: number };
  /** The same sensors so much earlier too. */
  compareMs: number | undefined;
  bands: boolean;
}

const UNITS: Record<string, number> = { h: 3_600_000, d: 86_400_000 };
const DAY_MS = 86_400_000;

/** As many lines as can be told apart. */
export const MOST_SENSORS = 8;

/** 24h, 7d. */
export const spanText = (ms: number): string =>
  ms % DAY_MS === 0 && ms > DAY_MS ? `${ms / DAY_MS}d` : `${Math.round(ms / 3_600_000)}h`;

function parseSpan(text: string | null): number | undefined {
  const match = /^(\d{1,5})([hd])$/.exec(text ?? "");
  return match ? Number(match[1]) * (UNITS[match[2] ?? ""] ?? 0) : undefined;
}

/** Reads a view; what makes no sense is left out. */
export function parseView(params: URLSearchParams): View {
  const fromMs = Date.parse(params.get("from") ?? "");
  const toMs = Date.parse(params.get("to") ?? "");
  const fixed = Number.isFinite(fromMs) && Number.isFinite(toMs) && fromMs < toMs;
  const sensors = params.getAll("s").filter((sensor) => /^[^/]+\/.+$/.test(sensor));
  return {
    sensors: [...new Set(sensors)].slice(0, MOST_SENSORS),
    span: fixed ? { fromMs, toMs } : { lastMs: parseSpan(params.get("last")) ?? DAY_MS },
    compareMs: parseSpan(params.get("compare")),
    bands: params.get("bands") !== "off",
  };
}

/** The URL's part for a view. */
export function formatView({ sensors, span, compareMs, bands }: View): URLSearchParams {
  const params = new URLSearchParams(sensors.map((sensor): [string, string] => ["s", sensor]));
  if ("lastMs" in span) params.set("last", spanText(span.lastMs));
  else {
    params.set("from", new Date(span.fromMs).toISOString());
    params.set("to", new Date(span.toMs).toISOString());
  }
  if (compareMs !== undefined) params.set("compare", spanText(compareMs));
  if (!bands) params.set("bands", "off");
  return params;
}

/** The stretch that is shown at `nowMs`. */
export const rangeOf = ({ span }: View, nowMs: number): { fromMs: number; toMs: number } =>
  "lastMs" in span ? { fromMs: nowMs - span.lastMs, toMs: nowMs } : span;
