import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { createDevice, openDb } from "@sluice/db";
import { findBinary, freePort, type Server, startPostgres } from "@sluice/servers";
import { createDatabase, useRedis, waitFor } from "@sluice/testkit";
import { type ServiceProcess, startService } from "../src/service-process.ts";

const patient = { timeoutMs: 60_000, intervalMs: 200 };
const PEPPER = "pepper-of-the-replica-test";
const root = mkdtempSync(join(tmpdir(), "sluice-replica-"));
chmodSync(root, 0o777);
const redis = useRedis();
const servers: Server[] = [];
let api: ServiceProcess | undefined;

afterAll(async () => {
  await api?.stop();
  await Promise.all(servers.map((server) => server.stop()));
  rmSync(root, { recursive: true, force: true });
});

/** A streaming replica of `primary`, made by a base backup. */
async function startReplica(primary: Server): Promise<Server> {
  const data = join(root, "replica", "data");
  const { hostname, port, password } = new URL(primary.url);
  const secret = decodeURIComponent(password);
  execFileSync("mkdir", ["-p", join(root, "replica")]);
  execFileSync(
    findBinary("pg_basebackup") ?? "",
    ["-h", hostname, "-p", port, "-U", "postgres", "-D", data, "--checkpoint=fast", "--write-recovery-conf"],
    { env: { PGPASSWORD: secret } },
  );
  if (process.getuid?.() === 0) execFileSync("chown", ["-R", "postgres:postgres", data]);
  return startPostgres({ dir: join(root, "replica"), password: secret });
}

test("charts are read from a streaming replica, and from the primary once it is gone", async () => {
  const primary = await startPostgres({ dir: join(root, "primary") });
  servers.push(primary);
  const url = await createDatabase(primary.url);
  const replica = await startReplica(primary);
  servers.push(replica);
  const replicaUrl = new URL(replica.url);
  replicaUrl.pathname = new URL(url).pathname;
  const db = await openDb(url, { max: 1 });
  const far = await openDb(replicaUrl.href, { max: 1 });
  try {
    const device = await createDevice(db, PEPPER, { id: "esp32_001" });
    await db.execute(
      `WITH s AS (INSERT INTO iot.sensors (device_id, sensor_code, value_type)
                  SELECT id, 'flow', 'number' FROM iot.devices WHERE device_code = 'esp32_001' RETURNING id)
       INSERT INTO measurement (time, sensor_id, value, status)
       SELECT now() - n * interval '1 minute', s.id, n, 'ok' FROM s, generate_series(1, 60) n`,
    );
    await waitFor(
      async () => (await far.query<{ n: number }>("SELECT count(*) AS n FROM measurement"))[0]?.n === 60,
      patient,
    );
    const httpPort = await freePort();
    api = await startService("api", "api", {
      REDIS_URL: redis.url,
      DATABASE_URL: url,
      DATABASE_READ_URL: replicaUrl.href,
      SLUICE_PEPPER: PEPPER,
      SLUICE_HTTP_PORT: `${httpPort}`,
      SLUICE_SINKS: "postgres",
    });
    const count = async () => {
      const asked = `http://127.0.0.1:${httpPort}/api/v1/series?sensor=esp32_001/flow&resolution=raw&method=none`;
      const answer = await fetch(asked, { headers: { "x-api-key": device.apiKey } });
      return ((await answer.json()) as { count?: number }).count;
    };
    expect(await count()).toBe(60);
    const readers = await far.query(
      "SELECT FROM pg_stat_activity WHERE application_name = 'sluice-api-reads'",
    );
    expect(readers.length).toBeGreaterThan(0);
    await far.close();
    await replica.kill("SIGKILL");
    expect(await waitFor(count, patient)).toBe(60);
  } finally {
    await db.close();
    await far.close();
  }
});
