import { encodePoint, type Influx, SAMPLE_DEVICE } from "@sluice/influx";

const STEP_MS = 300_000;
const DAY_MS = 86_400_000;

/**
 * Writes a day of made-up readings of one device up to `nowMs`, in both documents' models, so that a dashboard has
 * something to show. Resolves with the number of points; writing them again changes nothing within five minutes.
 */
export async function writeSampleData(influx: Influx, nowMs: number): Promise<number> {
  const lines: string[] = [];
  const lastMs = Math.floor(nowMs / STEP_MS) * STEP_MS;
  for (let atMs = lastMs - DAY_MS + STEP_MS; atMs <= lastMs; atMs += STEP_MS) {
    const swing = Math.sin((atMs % DAY_MS) * ((2 * Math.PI) / DAY_MS));
    const temperature = round(22 + 3 * swing);
    const humidity = round(60 - 8 * swing);
    const timeUs = atMs * 1000;
    const tags = { device_id: SAMPLE_DEVICE, device_type: "esp32", location: "sample" };
    lines.push(
      encodePoint({ measurement: "temperature", tags, fields: { temperature, value: temperature }, timeUs }),
      encodePoint({ measurement: "humidity", tags, fields: { humidity, value: humidity }, timeUs }),
      encodePoint({
        measurement: "sensor_reading",
        tags: { sensor_id: SAMPLE_DEVICE, source: "sample" },
        fields: { temperature, humidity, ph: round(6 + 0.2 * swing), ec: round(1.4 + 0.1 * swing) },
        timeUs,
      }),
    );
  }
  const refused = await influx.write(lines);
  if (refused.length > 0) throw new Error(`InfluxDB refused sample data: ${refused[0]?.message}`);
  return lines.length;
}

const round = (value: number) => Math.round(value * 100) / 100;
