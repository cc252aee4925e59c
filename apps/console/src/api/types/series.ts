// Readings over time. As it comes over the wire: times are ISO 8601.

export interface SeriesPoint {
  time: string;
  value: number | string | null;
  min?: number;
  max?: number;
  n?: number;
  status?: string;
  flags?: string[];
}

export interface Series {
  sensor: { id: number; device: string; field: string; unit: string | null };
  from: string;
  to: string;
  resolution: "raw" | "5m" | "1h" | "1d";
  points: SeriesPoint[];
  gaps: { from: string; to: string }[];
  count: number;
}

export interface LiveReading {
  device: string;
  type: string;
  samples: { time: string; readings: Record<string, number | string | boolean | null> }[];
}

/** From where on readings of a type of sensor are doubtful. */
export interface QualityLimits {
  sensorType: string;
  min: number | null;
  max: number | null;
  spike: number | null;
  ratePerMinute: number | null;
  flatCount: number | null;
  flatMinutes: number;
  gapSeconds: number | null;
}
