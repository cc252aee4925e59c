import { beforeAll, describe, expect, test } from "@jest/globals";
import { advanceRollups } from "@sluice/etl";
import { useApi } from "./use-api.ts";

const HOUR_MS = 3_600_000;
const START_MS = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 48 * HOUR_MS;

describe("series", () => {
  const it = useApi();
  const series = async (query: string) => {
    const from = new Date(START_MS).toISOString();
    return (
      await it.call("GET", `/api/v1/series?sensor=esp32_001/flow&from=${from}&${query}`, { key: it.a.apiKey })
    ).json;
  };
  beforeAll(async () => {
    // one reading a minute but for an hour without any, an error, and one that is doubted
    await it.db.query(
      `WITH s AS (INSERT INTO iot.sensors (device_id, sensor_code, value_type, calibration_offset)
                  SELECT id, 'flow', 'number', 100 FROM iot.devices WHERE device_code = 'esp32_001' RETURNING id),
            m AS (INSERT INTO public.measurement (time, sensor_id, value, status)
                  SELECT to_timestamp($1 + n * 60), s.id, CASE WHEN n = 30 THEN NULL ELSE n % 60 END, CASE WHEN n = 30 THEN 'error' ELSE 'ok' END
                    FROM s, generate_series(0, 2879) n WHERE n NOT BETWEEN 600 AND 659)
       INSERT INTO public.quality_flag (sensor_id, time, flags) SELECT id, to_timestamp($1 + 60), ARRAY['spike'] FROM s`,
      [START_MS / 1000],
    );
  });

  test("every resolution says the same, before and after the scheduler has run, calibrated", async () => {
    const before = await series("resolution=1h&maxPoints=100");
    for (let i = 0; i < 10; i++)
      await advanceRollups(it.db, Date.now() - 2 * HOUR_MS, new AbortController().signal);
    const after = await series("resolution=1h&maxPoints=100");
    expect(after.points).toEqual(before.points);
    expect(after.points[0]).toMatchObject({ min: 100, max: 159, n: 59 });
    const fine = await series("resolution=5m&maxPoints=1000");
    const sum = (points: { value: number; n: number }[]) =>
      points.reduce((total, p) => total + p.value * p.n, 0);
    expect(sum(fine.points)).toBeCloseTo(sum(after.points), 3);
    expect(fine.points.reduce((n: number, p: { n: number }) => n + p.n, 0)).toBe(2819);
  });

  test("gaps, errors and flags are told", async () => {
    const raw = await series("resolution=raw&method=none&maxPoints=10000");
    expect(raw.count).toBe(2820);
    expect(raw.points[1]).toMatchObject({ value: 101, flags: ["spike"] });
    expect(raw.points[30]).toMatchObject({ value: null, status: "error" });
    const gap = {
      from: new Date(START_MS + 599 * 60_000).toISOString(),
      to: new Date(START_MS + 660 * 60_000).toISOString(),
    };
    expect(raw.gaps).toEqual([gap]);
  });

  test("pages of raw readings go on where the last one ended, without losing or repeating one", async () => {
    const times: string[] = [];
    let next: string | null = new Date(START_MS).toISOString();
    while (next !== null) {
      const { json } = await it.call(
        "GET",
        `/api/v1/series?sensor=esp32_001/flow&from=${next}&resolution=raw&method=none&maxPoints=700`,
        {
          key: it.keys.read,
        },
      );
      times.push(...json.points.map(({ time }: { time: string }) => time));
      next = json.next;
    }
    expect([times.length, new Set(times).size]).toEqual([2820, 2820]);
  });

  test("a thinned picture keeps the highest and the lowest value", async () => {
    const { points } = await series("resolution=5m&maxPoints=40&method=minmax");
    expect(points.length).toBeLessThanOrEqual(41);
    expect(Math.max(...points.map(({ max }: { max: number }) => max))).toBe(159);
    expect(Math.min(...points.map(({ min }: { min: number }) => min))).toBe(100);
  });
});
