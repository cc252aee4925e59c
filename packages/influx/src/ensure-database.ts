import { type Connection, query } from "./connection.ts";
import { escapeIdentifier } from "./influx-ql.ts";
import { outageOf } from "./refusal.ts";

/** Creates the database or bucket where it is missing; whether it was. See `Influx.ensureDatabase`. */
export async function ensureDatabase(connection: Connection, retentionMs?: number): Promise<boolean> {
  if (connection.version === 1) return ensureDatabase1(connection, retentionMs);
  return connection.version === 2 && ensureBucket2(connection, retentionMs);
}

async function ensureDatabase1(connection: Connection, retentionMs?: number): Promise<boolean> {
  const databases = await query(connection, "SHOW DATABASES");
  if (databases.some((series) => series.rows.some((row) => row.name === connection.bucket))) return false;
  const keep = retentionMs === undefined ? "" : ` WITH DURATION ${Math.ceil(retentionMs / 1000)}s`;
  await query(connection, `CREATE DATABASE ${escapeIdentifier(connection.bucket)}${keep}`);
  return true;
}

async function ensureBucket2(connection: Connection, retentionMs?: number): Promise<boolean> {
  const { bucket: name, org } = connection;
  const found = await callManagement(
    connection,
    "GET",
    `/api/v2/buckets?${new URLSearchParams({ org, name })}`,
  );
  // A server that only takes 2.x writes (VictoriaMetrics) knows no buckets; 2.x has always an organisation.
  const orgs = await callManagement(connection, "GET", `/api/v2/orgs?${new URLSearchParams({ org })}`);
  if (!orgs) return false;
  let bucketId = (found?.buckets as { id?: string }[] | undefined)?.[0]?.id;
  const orgID = (orgs.orgs as { id?: string }[] | undefined)?.[0]?.id;
  const missing = bucketId === undefined;
  if (missing) {
    const retentionRules =
      retentionMs === undefined ? [] : [{ type: "expire", everySeconds: Math.ceil(retentionMs / 1000) }];
    const created = await callManagement(connection, "POST", "/api/v2/buckets", {
      orgID,
      name,
      retentionRules,
    });
    bucketId = created?.id as string | undefined;
  }
  await ensureMapping(connection, orgID, bucketId);
  return missing;
}

/** InfluxQL reaches a 2.x bucket through its DBRP mapping. */
async function ensureMapping(connection: Connection, orgID?: string, bucketID?: string): Promise<void> {
  if (orgID === undefined || bucketID === undefined) return;
  const wanted = new URLSearchParams({ orgID, db: connection.bucket });
  const known = await callManagement(connection, "GET", `/api/v2/dbrps?${wanted}`);
  if (!known || ((known.content as unknown[] | undefined)?.length ?? 0) > 0) return;
  const mapping = {
    orgID,
    bucketID,
    database: connection.bucket,
    retention_policy: "autogen",
    default: true,
  };
  await callManagement(connection, "POST", "/api/v2/dbrps", mapping);
}

/** One call of the 2.x management API: undefined where the server has no such thing, OutageError for any other refusal. */
export async function callManagement(
  connection: Connection,
  method: "GET" | "POST",
  path: string,
  body?: object,
): Promise<Record<string, unknown> | undefined> {
  const headers: Record<string, string> = { ...connection.authorization, "content-type": "application/json" };
  const request = { method, path, headers };
  const answer = await connection.transport.send(
    body === undefined ? request : { ...request, body: JSON.stringify(body) },
  );
  if (answer.status === 404 || answer.body.includes("unsupported path requested")) return undefined;
  if (answer.status >= 300) throw outageOf(answer);
  try {
    return JSON.parse(answer.body) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
