import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { openJsonLines, openLineProtocol } from "./open-lines.ts";
import { parseLineProtocol } from "./parse-line-protocol.ts";

const dir = mkdtempSync(join(tmpdir(), "lines-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const bounds = { fromUs: 0, toUs: Number.MAX_SAFE_INTEGER };
const all = async (table: Awaited<ReturnType<typeof openJsonLines>>) => {
  const rows = [];
  for await (const { row, skipped } of table.rows)
    rows.push(row ? [row.timeUs, ...[...row.devices].flat()] : skipped);
  return rows;
};

test("line protocol is read with its escapes, quotes and types", () => {
  expect(
    parseLineProtocol(
      String.raw`my\ room,device_id=a\,1,x=y t=1.5,n=3i,ok=true,s="a, \"b\" =c" 1770000000000000000`,
    ),
  ).toEqual({
    measurement: "my room",
    tags: { device_id: "a,1", x: "y" },
    fields: { t: 1.5, n: 3, ok: true, s: 'a, "b" =c' },
    time: 1770000000000000000n,
  });
  for (const bad of ["", "m", "m,t", "m t=", "m t=1 x", "m,a t=1", "m t=1x 5", 'm s="open 5'])
    expect(parseLineProtocol(bad)).toBeUndefined();
});

test("a file of line protocol gives rows, and names the lines that are none", async () => {
  const path = join(dir, "a.lp");
  writeFileSync(
    path,
    "# comment\nsensor_reading,sensor_id=d1 temperature=21.5,ph=6 1770000000000000001\n\nco2,device_id=d1 value=400i 1770000000000000000\nair,device_id=d1 t=1 1770000000000000000\nm v=1 5\nnonsense\n",
  );
  expect(await all(await openLineProtocol(path, { bounds, timeZone: "UTC", precision: "ns" }))).toEqual([
    "header",
    [1_770_000_000_000_000, "d1", { temperature: 21.5, ph: 6 }],
    "blank",
    [1_770_000_000_000_000, "d1", { co2: 400 }],
    [1_770_000_000_000_000, "d1", { "air.t": 1 }],
    "bad_device",
    "bad_line",
  ]);
});

test("JSON lines are read in the variants that devices send", async () => {
  const path = join(dir, "a.jsonl");
  writeFileSync(
    path,
    '{"device_id":"d1","ts":1770000000,"t":1,"gone":null}\n{"ts":"2026-02-02T02:40:00Z","data":{"t":2}}\n{"t":3}\n{"device_id":"a b","ts":1770000000,"t":1}\n[{"ts":1770000000,"t":4},{"ts":1770000001,"t":5}]\n{not json\n',
  );
  expect(
    await all(await openJsonLines(path, { bounds, timeZone: "UTC", type: "telemetry", device: "d2" })),
  ).toEqual([
    [1_770_000_000_000_000, "d1", { t: 1, gone: null }],
    [1_770_000_000_000_000, "d2", { t: 2 }],
    "bad_time",
    "bad_device",
    [1_770_000_000_000_000, "d2", { t: 4 }],
    [1_770_000_001_000_000, "d2", { t: 5 }],
    "bad_line",
  ]);
});
