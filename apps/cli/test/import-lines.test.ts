import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Installation, startInstallation } from "@sluice/testkit";

let installation: Installation;
const dir = mkdtempSync(join(tmpdir(), "sluice lines-"));
beforeAll(async () => {
  installation = await startInstallation({ services: ["stream-worker"] });
}, 120_000);
afterAll(async () => {
  await installation?.stop();
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

test("line protocol and JSON lines go in completely, and again without a duplicate", async () => {
  const lp = join(dir, "a.lp");
  const jsonl = join(dir, "a.jsonl");
  const times = Array.from({ length: 500 }, (_, i) => 1_770_000_000 + i);
  writeFileSync(lp, times.map((s) => `air,device_id=lp1 t=${s % 40},rh=50i ${s}000000000`).join("\n"));
  writeFileSync(
    jsonl,
    times.map((s) => JSON.stringify({ device_id: "js1", ts: s, t: s % 7, gone: null })).join("\n"),
  );
  const run = async (kind: string, file: string) =>
    JSON.parse(await installation.sluice("import", kind, file, "--json")) as object;
  expect(await run("influx", lp)).toMatchObject({
    readingsAccepted: 1000,
    stored: 1000,
    quarantined: 0,
    series: 2,
  });
  expect(await run("influx", lp)).toMatchObject({ stored: 0, duplicate: 1000 });
  expect(await run("jsonl", jsonl)).toMatchObject({ readingsAccepted: 1000, stored: 1000, quarantined: 0 });
}, 60_000);
