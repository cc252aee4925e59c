import { expect, test } from "@jest/globals";
import { encodePoint, openInflux } from "@sluice/influx";
import { useVictoriaMetrics, waitFor } from "@sluice/testkit";

const server = useVictoriaMetrics();

/** What the server has, in its own export format: one series a line. */
async function exported(
  match: string,
): Promise<{ metric: Record<string, string>; values: number[]; timestamps: number[] }[]> {
  await fetch(`${server.url}/internal/force_flush`);
  const response = await fetch(`${server.url}/api/v1/export?${new URLSearchParams({ "match[]": match })}`);
  const lines = (await response.text()).split("\n").filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line));
}

test("points go in by the 2.x write path, odd tags as they were", async () => {
  const influx = openInflux({ url: server.url, version: 2, org: "iotflow", bucket: "telemetry", token: "t" });
  await influx.ping();
  await influx.ensureDatabase(); // such a server has no buckets: nothing to make, and no reason to fail
  const tags = ["plain", "a b,c=d", 'q"uote', "C:\\", "温度", "tab\there", "b\\=c", "evil\nm v=9 1"];
  const lines = tags.map((tag, i) =>
    encodePoint({
      measurement: "odd",
      tags: { device_id: `d${i}`, tag },
      fields: { value: i + 0.5 },
      timeUs: 1_767_225_600_000_000 + i * 1000,
    }),
  );
  expect(await influx.write(lines)).toEqual([]);
  const found = await waitFor(async () => {
    const series = await exported('{__name__="odd_value"}');
    return series.length === tags.length ? series : undefined;
  });
  const sorted = found.sort((a, b) => (a.values[0] ?? 0) - (b.values[0] ?? 0));
  expect(sorted.map(({ metric }) => metric.tag)).toEqual([
    "plain",
    "a b,c=d",
    'q"uote',
    "C:\\_",
    "温度",
    "tab\\there",
    "b\\=c",
    "evil\\nm v=9 1",
  ]);
  expect(sorted.map(({ timestamps }) => timestamps[0])).toEqual(tags.map((_, i) => 1_767_225_600_000 + i));
  await influx.close();
});

test("a batch that is large enough to be packed arrives whole", async () => {
  const influx = openInflux({ url: server.url, version: 3, bucket: "telemetry", token: "t" });
  const lines = Array.from({ length: 5000 }, (_, i) =>
    encodePoint({
      measurement: "many",
      tags: { device_id: "d1" },
      fields: { value: i },
      timeUs: 1_767_225_600_000_000 + i * 1000,
    }),
  );
  expect(await influx.write(lines)).toEqual([]);
  const values = await waitFor(async () => {
    const series = await exported('{__name__="many_value"}');
    return series[0]?.values.length === 5000 && series[0].values;
  });
  expect(values.reduce((sum, value) => sum + value, 0)).toBe((4999 * 5000) / 2);
  await influx.close();
});
