import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { waitFor } from "@sluice/testkit";
import { SLUICE, useCommandLine } from "./use-command-line.ts";

const { it, sluice, json, addDevice, ofDevice } = useCommandLine();

test("files that are none end with 1 and name the file; wrong flags end with 2 and name the range", async () => {
  for (const path of [it.dir, join(it.dir, "absent.csv"), "/dev/zero", process.execPath]) {
    const { code, stderr } = await sluice(["import", "greenhouse", path]);
    expect([code, stderr]).toEqual([1, expect.stringContaining(path)]);
  }
  for (const rate of ["0", "-1", "abc", "1e9", ""]) {
    const { code, stderr } = await sluice(["simulate", "--rate", rate]);
    expect([code, stderr]).toEqual([2, expect.stringContaining("from 0.01 to 100000")]);
  }
});

test("a device is let in while it is enabled and its secrets are good, and not once it is removed", async () => {
  const old = await addDevice("life-1");
  const publishes = async (env: Record<string, string>) =>
    (await sluice(["publish", "life-1", '{"a": 1}'], env)).code === 0;
  const becomes = (env: Record<string, string>, wanted: boolean) =>
    waitFor(async () => (await publishes(env)) === wanted, { timeoutMs: 15_000 });
  await becomes(old, true);
  await json("devices", "disable", "life-1");
  await becomes(old, false);
  await json("devices", "enable", "life-1");
  await becomes(old, true);
  const kept = await json<{ password: string }>("devices", "rotate", "life-1");
  await becomes({ SLUICE_DEVICE_PASSWORD: kept.password }, true);
  expect(await publishes(old)).toBe(true);
  const fresh = await json<{ password: string }>("devices", "rotate", "life-1", "--overlap", "0");
  await becomes({ SLUICE_DEVICE_PASSWORD: fresh.password }, true);
  await becomes({ SLUICE_DEVICE_PASSWORD: kept.password }, false);
  await json("devices", "remove", "life-1");
  await becomes({ SLUICE_DEVICE_PASSWORD: fresh.password }, false);
  const { code, stderr } = await sluice(["devices", "show", "life-1"]);
  expect([code, stderr]).toEqual([1, "sluice: no device 'life-1'\n"]);
});

test("what was refused is fixed and replayed once, under its first identity", async () => {
  const env = await addDevice("bad-1");
  await sluice(["publish", "bad-1", '{"temperature": 2', "--raw"], env);
  await sluice(["publish", "bad-1", '{"temperature": 20, "seq": 1, "boot": "b"}'], env);
  await sluice(["publish", "bad-1", '{"temperature": "hot", "humidity": 40, "seq": 2, "boot": "b"}'], env);
  type Row = { id: number; reason: string; receivedAt: string };
  const list = () => json<Row[]>("quarantine", "list", "--device", "bad-1");
  await waitFor(async () => (await list()).length === 2, { timeoutMs: 20_000, intervalMs: 500 });
  const rows = await list();
  const broken = rows.find(({ reason }) => reason === "not_json");
  const conflict = rows.find(({ reason }) => reason === "type_conflict");
  expect((await sluice(["quarantine", "fix", String(broken?.id), "--payload", "{"])).code).toBe(1);
  await json("quarantine", "fix", String(broken?.id), "--payload", '{"temperature": 22}');
  const fixed = '{"temperature": 24, "humidity": 40, "seq": 2, "boot": "b"}';
  await json("quarantine", "fix", String(conflict?.id), "--payload", fixed);
  const replay = () => json<{ replayed: number[] }>("quarantine", "replay", "--device", "bad-1");
  expect(
    (await json<{ replayed: number[] }>("quarantine", "replay", "--device", "bad-1", "--dry-run")).replayed,
  ).toHaveLength(2);
  expect((await replay()).replayed).toHaveLength(2);
  expect((await replay()).replayed).toEqual([]);
  // as if it had been killed between publishing and marking
  await it.db.query("UPDATE quarantine SET status = 'fixed' WHERE device = 'bad-1'");
  expect((await replay()).replayed).toHaveLength(2);
  await waitFor(
    async () => {
      const ledger = await json<Record<string, { pending: number; unread: number }>>("ledger");
      return ledger.postgres?.pending === 0 && ledger.postgres.unread === 0;
    },
    { timeoutMs: 20_000, intervalMs: 300 },
  );
  const values = (await ofDevice("bad-1")).filter(({ field }) => field === "temperature");
  expect(values.map(({ value }) => value).sort()).toEqual([20, 22, 24]);
  expect(values.find(({ value }) => value === 22)?.time.toISOString()).toBe(broken?.receivedAt);
  expect(await list()).toEqual([]);
});

test("tail shows what is accepted, and ends without a word on Ctrl-C and when its reader is gone", async () => {
  const env = await addDevice("tail-1");
  const start = (...more: string[]) =>
    spawn(SLUICE, ["tail", "--device", "tail-1", "--json", ...more, "--data-dir", it.installation.dataDir], {
      cwd: it.dir,
    });
  const tail = start();
  let out = "";
  let err = "";
  tail.stdout.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  tail.stderr.on("data", (chunk: Buffer) => {
    err += chunk.toString();
  });
  const ended = new Promise<number | null>((done) => tail.once("exit", done));
  let n = 0;
  await waitFor(
    async () => {
      await sluice(["publish", "tail-1", `{"n": ${n++}}`], env);
      return out !== "";
    },
    { timeoutMs: 30_000 },
  );
  expect(JSON.parse(out.split("\n")[0] ?? "")).toMatchObject({
    device: "tail-1",
    readings: { n: expect.any(Number) },
  });
  tail.kill("SIGINT");
  expect([await ended, err.replaceAll(/^(Building|Waiting).*\n/gm, "")]).toEqual([130, ""]);

  const piped = start();
  const pipedEnd = new Promise<number | null>((done) => piped.once("exit", done));
  piped.stdout.once("data", () => piped.stdout.destroy());
  let over = false;
  void pipedEnd.then(() => {
    over = true;
  });
  await waitFor(
    async () => {
      await sluice(["publish", "tail-1", `{"n": ${n++}}`], env);
      return over;
    },
    { timeoutMs: 30_000 },
  );
  expect(await pipedEnd).toBe(0);
});

test("lag gives the server's own numbers, and its check fails from the warning on", async () => {
  // Idle: stopped in a transaction it would hold locks that making the fleet has to wait for.
  type Balance = Record<string, { unread: number; pending: number }>;
  await waitFor(
    async () => Object.values(await json<Balance>("ledger")).every((one) => one.unread + one.pending === 0),
    { timeoutMs: 30_000 },
  );
  await it.installation.kill("stream-worker", "SIGSTOP");
  await json("simulate", "--devices", "2", "--rate", "100", "--seconds", "1");
  type Group = { group: string; unread: number; pending: number };
  const report = await json<{ streams: { stream: string; groups: Group[] }[] }>("lag");
  const group = report.streams
    .find(({ stream }) => stream === "sluice:telemetry:{0}")
    ?.groups.find((g) => g.group === "postgres");
  expect((group?.unread ?? 0) + (group?.pending ?? 0)).toBeGreaterThanOrEqual(90);
  expect((await sluice(["lag", "--check", "--warn", "1"])).code).toBe(group?.unread === 0 ? 0 : 1);
  await it.installation.kill("stream-worker", "SIGCONT");
  await waitFor(async () => (await sluice(["lag", "--check", "--warn", "1"])).code === 0, {
    timeoutMs: 30_000,
  });
});
