import { expect, test } from "@jest/globals";
import { usePrivatePostgres } from "@sluice/testkit";
import { createCommand, migrate, openDb } from "../src/index.ts";
import { ensureRoles, grantRoles, OWNER_ROLE, SERVICE_ROLES } from "../src/roles.ts";

const server = usePrivatePostgres({ settings: { fsync: "off" } });

const urlOf = (role: string) => {
  const url = new URL(server.url);
  url.username = role;
  url.password = `secret-of-${role}`;
  return url.href;
};
const asRole = async <T>(role: string, sql: string): Promise<T[]> => {
  const db = await openDb(urlOf(role), { max: 1 });
  try {
    return await db.query<T>(sql);
  } finally {
    await db.close();
  }
};

test("services may do their work and nothing else; the owner is no superuser and migrates on", async () => {
  for (let i = 0; i < 2; i++) await ensureRoles(server.url, (role) => `secret-of-${role}`);
  expect(await migrate(urlOf(OWNER_ROLE))).toEqual([]);
  await grantRoles(urlOf(OWNER_ROLE));
  await asRole(OWNER_ROLE, "CREATE TABLE iot.later (id INTEGER); INSERT INTO iot.later VALUES (1)");
  await grantRoles(urlOf(OWNER_ROLE));
  expect(await asRole("sluice_reader", "SELECT id FROM iot.later")).toEqual([{ id: 1 }]);

  for (const role of SERVICE_ROLES) {
    for (const forbidden of [
      "DROP TABLE iot.devices",
      "CREATE TABLE public.mine (id INTEGER)",
      "CREATE TEMP TABLE mine (id INTEGER)",
      "ALTER TABLE iot.devices ADD COLUMN mine INTEGER",
      "TRUNCATE public.measurement",
      "COPY (SELECT 1) TO PROGRAM 'true'",
      "COPY iot.devices (name) FROM '/etc/passwd'",
      "SELECT pg_read_file('/etc/passwd')",
      "CREATE ROLE mine",
      `SET ROLE ${OWNER_ROLE}`,
      "DELETE FROM public.sluice_migration",
      "DELETE FROM audit.events",
    ]) {
      await expect(asRole(role, forbidden)).rejects.toThrow(/denied|must be|only/i);
    }
    const [row] = await asRole<{ ms: number }>(
      role,
      "SELECT extract(epoch FROM current_setting('statement_timeout')::interval)::int * 1000 AS ms",
    );
    expect(row?.ms).toBeGreaterThan(0);
  }
  for (const secret of ["iot.credentials", "core.users", "iot.claim_tokens"]) {
    for (const role of ["sluice_worker", "sluice_etl", "sluice_reader", "sluice_alerts"]) {
      await expect(asRole(role, `SELECT FROM ${secret}`)).rejects.toThrow(/denied/);
    }
  }
  await expect(asRole("sluice_reader", "SELECT FROM alert.channel_secret")).rejects.toThrow(/denied/);
  expect(await asRole("sluice_alerts", "SELECT secret FROM alert.channel_secret")).toEqual([]);
  await expect(asRole("sluice_gateway", "DELETE FROM iot.claim_tokens")).rejects.toThrow(/denied/);
  await expect(asRole("sluice_gateway", "UPDATE iot.credentials SET status = 'active'")).rejects.toThrow(
    /denied/,
  );
  await expect(asRole("sluice_gateway", "SELECT FROM public.measurement")).rejects.toThrow(/denied/);
  await expect(asRole("sluice_reader", "DELETE FROM public.measurement")).rejects.toThrow(/denied|read-only/);
  await asRole("sluice_worker", "INSERT INTO audit.events (event_type) VALUES ('x')");
  await asRole("sluice_worker", "INSERT INTO iot.devices (device_code) VALUES ('pump')");
  const alerts = await openDb(urlOf("sluice_alerts"), { max: 1 });
  const wanted = {
    device: "pump",
    type: "stop",
    payload: {},
    source: "alert" as const,
    dedupeKey: "alert 1",
  };
  expect((await createCommand(alerts, wanted)).status).toBe("pending");
  await alerts.close();

  const partitions = await asRole(
    "sluice_worker",
    "SELECT public.ensure_measurement_partition('2031-01-01', '2031-01-01') AS made",
  );
  expect(partitions).toEqual([{ made: 1 }]);
  await asRole(
    "sluice_worker",
    "INSERT INTO public.measurement (time, sensor_id, value) VALUES ('2031-01-01', 1, 2)",
  );
  await expect(
    asRole("sluice_reader", "SELECT public.ensure_measurement_partition('2032-01-01', '2032-01-01')"),
  ).rejects.toThrow(/denied/);
});

test("an installation made as superuser is handed over to the owner", async () => {
  const [row] = await asRole<{ owners: string }>(
    OWNER_ROLE,
    `SELECT string_agg(DISTINCT pg_get_userbyid(relowner), ',') AS owners FROM pg_class c
       JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE nspname IN ('public', 'iot', 'core', 'audit', 'bi', 'crop')`,
  );
  expect(row?.owners).toBe(OWNER_ROLE);
});

test("whoever may add rows to a table may take the numbers that its sequence gives them", async () => {
  const add = `INSERT INTO bi.hourly_sensor_agg (sensor_id, hour_start, avg_value) VALUES (1, now(), 20) RETURNING id`;
  expect(await asRole("sluice_etl", add)).toEqual([{ id: expect.any(Number) }]);
  await expect(asRole("sluice_worker", "SELECT nextval('bi.hourly_sensor_agg_id_seq')")).rejects.toThrow(
    /denied/,
  );
});
