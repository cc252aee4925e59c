import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { createDevice, openDb } from "@sluice/db";
import { type Installation, startInstallation, waitFor } from "@sluice/testkit";

let sluice: Installation;
let apiKey = "";

beforeAll(async () => {
  sluice = await startInstallation({
    services: ["ingest-gateway", "stream-worker", "influx-writer"],
    env: { SLUICE_REDIS_MAXMEMORY: "24mb" },
  });
  const db = await openDb(sluice.urls().postgresUrl, { max: 1 });
  ({ apiKey } = await createDevice(db, sluice.pepper(), { id: "pressed" }));
  await db.close();
});
afterAll(() => sluice?.stop(), 60_000);

type Ledger = Record<string, Record<string, number> & { balanced: boolean }>;
const ledger = async () => JSON.parse(await sluice.sluice("ledger", "--json")) as Ledger;

let next = 0;
/**
 * Posts 100 samples in one message of some 6 kB. `full`: refused before anything of it was read, because the bus has no
 * room; any other 503 is an append that took too long, whose message may be stored.
 */
async function post(httpUrl: string): Promise<{ status: number; retryAfter: string | null; full: boolean }> {
  const seq = next++;
  const startMs = Date.UTC(2026, 0, 1) + seq * 1000;
  const samples = Array.from({ length: 100 }, (_, i) => ({ ts: startMs + i, note: "x".repeat(40), v: i }));
  const response = await fetch(`${httpUrl}/api/v1/ingest`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-api-key": apiKey },
    body: JSON.stringify({ boot: "b", seq, samples }),
  });
  const full = (await response.text()).includes("too much waits to be stored");
  return { status: response.status, retryAfter: response.headers.get("retry-after"), full };
}

test("while InfluxDB is frozen a small Redis does not fill: what it misses is parked, then written", async () => {
  const { httpUrl } = (await sluice.status()) ?? { httpUrl: "" };
  await sluice.kill("influx", "SIGSTOP");
  let accepted = 0;
  await waitFor(
    async () => {
      const answers = await Promise.all(Array.from({ length: 100 }, () => post(httpUrl)));
      accepted += answers.filter(({ status }) => status === 202).length;
      return (await ledger()).influx?.parked;
    },
    { timeoutMs: 60_000, what: "the influx group to be parked" },
  );
  await waitFor(async () => Number((await ledger()).postgres?.stored) >= accepted, { timeoutMs: 30_000 });
  expect((await ledger()).influx).toMatchObject({ balanced: true });
  expect((await sluice.status())?.parked).toEqual({ influx: expect.any(Number) });
  await sluice.kill("influx", "SIGCONT");
  const influx = await waitFor(
    async () => {
      const { influx } = await ledger();
      return influx?.stored === influx?.accepted ? influx : undefined;
    },
    { timeoutMs: 60_000, what: "everything to be in InfluxDB" },
  );
  expect(influx).toMatchObject({ parked: 0, balanced: true });
  expect(influx.stored).toBeGreaterThanOrEqual(accepted);
});

test("while PostgreSQL is frozen the gateway says 503 with Retry-After before Redis is full, and goes on by itself", async () => {
  const { httpUrl } = (await sluice.status()) ?? { httpUrl: "" };
  const before = (await ledger()).postgres?.accepted ?? 0;
  await sluice.kill("postgres", "SIGSTOP");
  let accepted = 0;
  let unsure = 0;
  const refused = await waitFor(
    async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => post(httpUrl)));
      accepted += answers.filter(({ status }) => status === 202).length;
      unsure += answers.filter(({ status, full }) => status === 503 && !full).length;
      return answers.find(({ full }) => full);
    },
    { timeoutMs: 60_000, what: "a refusal" },
  );
  expect(refused.retryAfter).toBe("5");
  const lag = JSON.parse(await sluice.sluice("lag", "--json")) as {
    memory: { usedBytes: number; maxBytes: number };
  };
  expect(lag.memory.usedBytes).toBeGreaterThan(lag.memory.maxBytes / 2);
  expect(lag.memory.usedBytes).toBeLessThan(lag.memory.maxBytes);
  await sluice.kill("postgres", "SIGCONT");
  await waitFor(
    async () => {
      const { status, full } = await post(httpUrl);
      if (status === 503 && !full) unsure++;
      return status === 202;
    },
    { timeoutMs: 60_000, what: "the gateway to let messages in again" },
  );
  const after = await waitFor(
    async () => {
      const { postgres } = await ledger();
      return postgres?.unread === 0 && postgres.pending === 0 ? postgres : undefined;
    },
    { timeoutMs: 60_000, what: "everything to be stored" },
  );
  expect(after.balanced).toBe(true);
  expect(after.stored).toBeGreaterThanOrEqual(before + accepted + 1);
  expect(after.stored).toBeLessThanOrEqual(before + accepted + 1 + unsure);
});
