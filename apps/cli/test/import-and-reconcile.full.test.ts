import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { openInflux } from "@sluice/influx";
import { type Installation, startInstallation, waitFor } from "@sluice/testkit";

let installation: Installation;
const dir = mkdtempSync(join(tmpdir(), "sluice lines-"));
beforeAll(async () => {
  installation = await startInstallation({ services: ["stream-worker", "influx-writer"] });
});
afterAll(async () => {
  await installation?.stop();
  rmSync(dir, { recursive: true, force: true });
});

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
});

interface Report {
  missing: number;
  differing: number;
  extra: number;
  left?: Report;
}

/** Runs `sluice reconcile` for the imported device and gives what it prints, with its exit code. */
async function reconcile(...flags: string[]): Promise<{ code: number; report: Report }> {
  const range = ["--from", "2026-02-01", "--to", "2026-02-04", "--device", "lp1", "--json"];
  try {
    return {
      code: 0,
      report: JSON.parse(await installation.sluice("reconcile", ...range, ...flags)) as Report,
    };
  } catch (error) {
    const { code, stdout } = error as { code: number; stdout: string };
    return { code, report: JSON.parse(stdout) as Report };
  }
}

test("reconcile names what differs between the stores, changes nothing unasked, and mends both", async () => {
  await waitFor(async () => (await reconcile()).code === 0, {
    timeoutMs: 60_000,
    what: "InfluxDB to have it all",
  });
  const { influx: access } = installation.urls();
  if (!access) throw new Error("no InfluxDB");
  const { url, bucket, username = "", password = "" } = access;
  const influx = openInflux({ url, version: 1, bucket, username, password });
  const firstUs = 1_770_000_000_000_000;
  await influx.deleteRange({ tags: { device_id: "lp1" }, fromUs: firstUs, toUs: firstUs + 10_000_000 });
  await influx.write([`telemetry,device_id=lp1,device_type=esp32 extra=5 ${firstUs}`]);
  expect(await reconcile("--repair", "--dry-run")).toMatchObject({
    code: 1,
    report: { missing: 20, differing: 0, extra: 1 },
  });
  const { code, report } = await reconcile("--repair");
  expect({ code, left: report.left }).toMatchObject({
    code: 0,
    left: { missing: 0, differing: 0, extra: 0 },
  });
  expect((await reconcile()).code).toBe(0);
  await influx.close();
});
