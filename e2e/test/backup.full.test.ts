import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "@jest/globals";
import { type Db, openDb } from "@sluice/db";
import { type Installation, startInstallation, waitFor } from "@sluice/testkit";

const root = mkdtempSync(join(tmpdir(), "sluice backup é "));
const dataDir = join(root, "data");
const backups = join(root, "backups");
const services = ["ingest-gateway", "stream-worker"];
let sluice: Installation | undefined;

afterAll(async () => {
  await sluice?.stop();
  rmSync(root, { recursive: true, force: true });
});

/** A command where nothing runs; rejects with what it said. */
async function run(...args: string[]): Promise<string> {
  const options = args.includes("--data-dir") ? args : [...args, "--data-dir", dataDir];
  return (await promisify(execFile)(join(import.meta.dirname, "../../sluice"), options)).stdout;
}

type Ledger = Record<string, Record<"accepted" | "stored" | "duplicate" | "pending" | "unread", number>>;
const readLedger = async (one: Installation) => JSON.parse(await one.sluice("ledger", "--json")) as Ledger;

async function query<R>(one: Installation, work: (db: Db) => Promise<R>): Promise<R> {
  const db = await openDb(one.urls().postgresUrl, { max: 1 });
  return work(db).finally(() => db.close());
}

const simulate = async (one: Installation, seed: number) =>
  JSON.parse(
    await one.sluice(
      "simulate",
      "--devices",
      "5",
      "--rate",
      "100",
      "--seconds",
      "2",
      "--seed",
      `${seed}`,
      "--json",
    ),
  ) as { sent: number; acknowledged: number };

test("after backup, wipe and restore every row is as it was, and what waited on the bus is stored", async () => {
  const first = await startInstallation({ dataDir, services });
  sluice = first;
  const stored = await simulate(first, 1);
  await waitFor(async () => (await readLedger(first)).postgres?.stored === stored.acknowledged, {
    timeoutMs: 30_000,
  });
  await first.kill("stream-worker", "SIGSTOP");
  const waiting = await simulate(first, 2);
  expect(waiting.acknowledged).toBeGreaterThan(100);

  const backup = JSON.parse(await first.sluice("backup", "--to", backups, "--keep", "3", "--json"));
  expect(backup.waiting).toBe(waiting.acknowledged);
  const secrets = first.pepper();
  const position = backup.streams.find(({ stream }: { stream: string }) => stream === "sluice:telemetry:{0}");
  expect(position).toMatchObject({ accepted: stored.acknowledged + waiting.acknowledged });

  await first.kill("stream-worker", "SIGCONT");
  await first.stop();
  rmSync(dataDir, { recursive: true });
  const restored = JSON.parse(await run("restore", backup.path, "--json"));
  expect(restored).toMatchObject({ different: [], rows: backup.rows, tables: backup.tables.length });
  expect(restored.messages).toEqual({ "sluice:telemetry:{0}": waiting.acknowledged });

  const second = await startInstallation({ dataDir, services });
  sluice = second;
  expect(second.pepper()).toBe(secrets);
  const ledger = await waitFor(
    async () => {
      const { postgres } = await readLedger(second);
      return postgres && postgres.pending + postgres.unread === 0 ? postgres : undefined;
    },
    { timeoutMs: 30_000, what: "the restored backlog to be stored" },
  );
  expect(ledger).toMatchObject({ accepted: waiting.acknowledged, stored: waiting.acknowledged });
  const messages = await query(second, (db) =>
    db.query<{ n: number }>(
      "SELECT sum(stored)::int8 AS n FROM ledger_total WHERE stream = 'sluice:telemetry:{0}'",
    ),
  );
  expect(messages[0]?.n).toBe(stored.acknowledged + waiting.acknowledged);
});

test("a damaged backup, and a folder that has data, are refused", async () => {
  await sluice?.stop();
  const [name = ""] = readdirSync(backups);
  await expect(run("restore", join(backups, name))).rejects.toThrow(/has data/);
  const elsewhere = join(root, "elsewhere");
  writeFileSync(join(backups, name, "bus.ndjson.gz"), "no");
  await expect(run("restore", join(backups, name), "--data-dir", elsewhere)).rejects.toThrow(/damaged/);
  expect(existsSync(join(elsewhere, "postgres"))).toBe(false);
});
