import pg from "pg";
import { classify } from "./pg-errors.ts";

/** What one role may do. */
interface Rights {
  /** How long one of its statements may run. */
  statementTimeout: string;
  /** Schemas whose tables it may read; `*` for all, without those that hold secrets. */
  read: readonly string[];
  /** Schemas or tables it may also change rows of. */
  write: readonly string[];
  /** Functions that do as their owner what it may not do itself. */
  call?: readonly string[];
  /** Tables with secrets that it needs. */
  secrets?: readonly string[];
  readOnly?: boolean;
}

const PARTITION = "public.ensure_measurement_partition(timestamptz, timestamptz)";
const CLAIM = "iot.claim_device(text, text, text, text, text)";
/** Secrets and hashes of them: only who checks, uses or makes them may look. */
const SECRET_TABLES = [
  "iot.credentials",
  "iot.claim_tokens",
  "core.users",
  "core.api_keys",
  "alert.channel_secret",
];

/** Roles of the services, beside the owner, who migrates. None may make, change or drop tables. */
const ROLES = {
  sluice_gateway: {
    statementTimeout: "15s",
    read: ["iot.devices", "iot.credential_devices", "iot.fleet_commands"],
    write: ["iot.device_commands"],
    secrets: ["iot.credentials", "iot.claim_tokens"],
    call: [CLAIM],
  },
  sluice_worker: {
    statementTimeout: "120s",
    read: ["*"],
    write: [
      "public",
      "iot.devices",
      "iot.sensors",
      "iot.sensor_types",
      "iot.device_commands",
      "audit.events",
    ],
    call: [PARTITION],
  },
  sluice_etl: {
    statementTimeout: "15min",
    read: ["*"],
    write: [
      "public",
      "bi",
      "crop",
      "business",
      "water_infrastructure",
      "iot.devices",
      "iot.sensors",
      "iot.machines",
      "core.system_config",
      "audit.data_retention",
      "audit.events",
    ],
    call: [PARTITION],
  },
  sluice_alerts: {
    statementTimeout: "60s",
    read: ["*"],
    write: [
      "alert",
      "iot.device_commands",
      "iot.fleet_commands",
      "iot.devices",
      "iot.sensors",
      "public.quality_flag",
      "public.quarantine",
      "public.ledger_receipt",
      "public.etl_lease",
      "public.bus_parked",
    ],
    secrets: ["alert.channel_secret"],
  },
  sluice_api: {
    statementTimeout: "60s",
    read: ["*"],
    write: ["*"],
    secrets: SECRET_TABLES,
    call: [PARTITION],
  },
  sluice_reader: { statementTimeout: "30s", read: ["*"], write: [], readOnly: true },
} as const satisfies Record<string, Rights>;

/** A role of a service. */
export type ServiceRole = keyof typeof ROLES;
/** Every role of a service. */
export const SERVICE_ROLES = Object.keys(ROLES) as ServiceRole[];
/** Owns database, schemas and tables; no superuser. */
export const OWNER_ROLE = "sluice_owner";

/**
 * Makes the owner and the roles of the services on a server of our own, or gives them these passwords. Hands the
 * database and everything in it to the owner. `adminUrl` is a superuser's. Safe to repeat.
 */
export async function ensureRoles(
  adminUrl: string,
  passwordOf: (role: ServiceRole | typeof OWNER_ROLE) => string,
): Promise<void> {
  await withClient(adminUrl, async (client) => {
    const database = client.escapeIdentifier(client.database ?? "");
    await client.query("SELECT pg_advisory_xact_lock(hashtext('sluice.migrate'))");
    for (const role of [OWNER_ROLE, ...SERVICE_ROLES] as const) {
      const { rowCount } = await client.query("SELECT FROM pg_roles WHERE rolname = $1", [role]);
      const verb = rowCount === 0 ? "CREATE" : "ALTER";
      await client.query(
        `${verb} ROLE ${role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD ${client.escapeLiteral(passwordOf(role))}`,
      );
    }
    for (const [role, rights] of Object.entries<Rights>(ROLES)) {
      await client.query(`ALTER ROLE ${role} SET statement_timeout = '${rights.statementTimeout}'`);
      if (rights.readOnly) await client.query(`ALTER ROLE ${role} SET default_transaction_read_only = on`);
    }
    await client.query(`GRANT pg_monitor, pg_signal_backend TO ${OWNER_ROLE}`);
    await client.query(`REVOKE ALL ON DATABASE ${database} FROM PUBLIC`);
    await client.query(`GRANT CONNECT ON DATABASE ${database} TO ${SERVICE_ROLES.join(", ")}`);
    await client.query(`ALTER DATABASE ${database} OWNER TO ${OWNER_ROLE}`);
    await client.query(HAND_OVER);
  });
}

/** What an earlier version made as superuser. */
const HAND_OVER = `DO $$
DECLARE command TEXT;
BEGIN
  FOR command IN
    SELECT format('ALTER SCHEMA %I OWNER TO ${OWNER_ROLE}', nspname) FROM pg_namespace
     WHERE nspowner = current_user::regrole AND nspname !~ '^(pg_|information_schema|_?timescaledb)'
    UNION ALL
    SELECT format('ALTER %s %s OWNER TO ${OWNER_ROLE}',
             CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
             c.oid::regclass)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relowner = current_user::regrole AND n.nspname !~ '^(pg_|information_schema|_?timescaledb)'
       AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i', 'e') AND c.relkind = 'S')
    UNION ALL
    SELECT format('ALTER ROUTINE %s OWNER TO ${OWNER_ROLE}', p.oid::regprocedure)
      FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE p.proowner = current_user::regrole AND n.nspname !~ '^(pg_|information_schema|_?timescaledb)'
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
  LOOP EXECUTE command; END LOOP;
END $$`;

/**
 * Grants the services' roles exactly what they need on the tables that there are now: after every migration. Does
 * nothing where the server has no such roles. `url` is the owner's.
 */
export async function grantRoles(url: string): Promise<void> {
  await withClient(url, async (client) => {
    const { rows } = await client.query("SELECT rolname FROM pg_roles WHERE rolname = ANY ($1)", [
      SERVICE_ROLES,
    ]);
    if (rows.length < SERVICE_ROLES.length) return;
    await client.query("SELECT pg_advisory_xact_lock(hashtext('sluice.migrate'))");
    const tables = (
      await client.query<{ name: string }>(
        `SELECT schemaname || '.' || tablename AS name FROM pg_tables
          WHERE tableowner = current_user AND schemaname !~ '^(pg_|information_schema|_?timescaledb)'
         UNION ALL SELECT schemaname || '.' || viewname FROM pg_views
          WHERE viewowner = current_user AND schemaname !~ '^(pg_|information_schema|_?timescaledb)'`,
      )
    ).rows.map(({ name }) => name);
    if (tables.length === 0) return;
    const quoted = (names: readonly string[]) =>
      names.map((name) => name.split(".").map(client.escapeIdentifier).join(".")).join(", ");
    const schemas = quoted([...new Set(tables.map((name) => name.split(".")[0] ?? ""))]);
    await client.query(`GRANT USAGE ON SCHEMA ${schemas} TO ${SERVICE_ROLES.join(", ")}`);
    const sequences = (await client.query<{ name: string; table: string }>(SERIALS)).rows;
    for (const [role, rights] of Object.entries<Rights>(ROLES)) {
      const { read, change } = tablesOf(rights, tables);
      const numbered = sequences.filter(({ table }) => change.includes(table)).map(({ name }) => name);
      await client.query(`REVOKE ALL ON ${quoted(tables)} FROM ${role}`);
      if (read.length > 0) await client.query(`GRANT SELECT ON ${quoted(read)} TO ${role}`);
      if (change.length > 0)
        await client.query(`GRANT INSERT, UPDATE, DELETE ON ${quoted(change)} TO ${role}`);
      if (numbered.length > 0) await client.query(`GRANT USAGE ON SEQUENCE ${quoted(numbered)} TO ${role}`);
      for (const name of rights.call ?? [])
        await client.query(`GRANT EXECUTE ON FUNCTION ${name} TO ${role}`);
    }
    // What happened is added to, never rewritten.
    await client.query(`REVOKE UPDATE, DELETE ON audit.events FROM ${SERVICE_ROLES.join(", ")}`);
  });
}

/** Sequences that number the rows of a table: unlike those of identity columns they have rights of their own. */
const SERIALS = `SELECT sn.nspname || '.' || s.relname AS name, tn.nspname || '.' || t.relname AS table
  FROM pg_depend d
  JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace sn ON sn.oid = s.relnamespace
  JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
 WHERE d.deptype = 'a' AND s.relowner = current_user::regrole`;

function tablesOf(rights: Rights, tables: readonly string[]): { read: string[]; change: string[] } {
  const named = (list: readonly string[], table: string) =>
    list.includes("*") || list.includes(table) || list.includes(table.split(".")[0] ?? "");
  const open = tables.filter(
    (table) => !SECRET_TABLES.includes(table) || rights.secrets?.includes(table) === true,
  );
  return {
    read: open.filter((table) => named([...rights.read, ...rights.write, ...(rights.secrets ?? [])], table)),
    change: open.filter((table) => named(rights.write, table) && table !== "public.sluice_migration"),
  };
}

/** Runs `work` in one transaction. */
async function withClient(url: string, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: "sluice-roles" });
  client.on("error", () => {}); // reported by the query it breaks
  try {
    await client.connect();
    await client.query("BEGIN");
    await work(client);
    const { command } = await client.query("COMMIT");
    if (command !== "COMMIT") throw new Error(`granting ended in ${command}`);
  } catch (error) {
    throw classify(error);
  } finally {
    await client.end().catch(() => {});
  }
}
