import { type Connection, query } from "./connection.ts";
import { escapeIdentifier } from "./influx-ql.ts";
import { outageOf } from "./refusal.ts";

/** Creates the database or bucket where it is missing; see `Influx.ensureDatabase`. */
export async function ensureDatabase(connection: Connection, retentionMs?: number): Promise<void> {
  if (connection.version === 1) await ensureDatabase1(connection, retentionMs);
  else if (connection.version === 2) await ensureBucket2(connection, retentionMs);
}

async function ensureDatabase1(connection: Connection, retentionMs?: number): Promise<void> {
  const databases = await query(connection, "SHOW DATABASES");
  if (databases.some((series) => series.rows.some((row) => row.name === connection.bucket))) return;
  const keep = retentionMs === undefined ? "" : ` WITH DURATION ${Math.ceil(retentionMs / 1000)}s`;
  await query(connection, `CREATE DATABASE ${escapeIdentifier(connection.bucket)}${keep}`);
}

async function ensureBucket2(connection: Connection, retentionMs?: number): Promise<void> {
  const { bucket: name, org } = connection;
  const found = await call(connection, "GET", `/api/v2/buckets?${new URLSearchParams({ org, name })}`);
  // A server that only takes 2.x writes (VictoriaMetrics) knows no buckets; 2.x has always an organisation.
  const orgs = await call(connection, "GET", `/api/v2/orgs?${new URLSearchParams({ org })}`);
  if (!orgs) return;
  let bucketId = (found?.buckets as { id?: string }[] | undefined)?.[0]?.id;
  const orgID = (orgs.orgs as { id?: string }[] | undefined)?.[0]?.id;
  if (bucketId === undefined) {
    const retentionRules =
      retentionMs === undefined ? [] : [{ type: "expire", everySeconds: Math.ceil(retentionMs / 1000) }];
    const created = await call(connection, "POST", "/api/v2/buckets", { orgID, name, retentionRules });
    bucketId = created?.id as string | undefined;
  }
  await ensureMapping(connection, orgID, bucketId);
}

/** InfluxQL reaches a 2.x bucket through its DBRP mapping. */
async function ensureMapping(connection: Connection, orgID?: string, bucketID?: string): Promise<void> {
  if (orgID === undefined || bucketID === undefined) return;
  const wanted = new URLSearchParams({ orgID, db: connection.bucket });
  const known = await call(connection, "GET", `/api/v2/dbrps?${wanted}`);
  if (!known || ((known.content as unknown[] | undefined)?.length ?? 0) > 0) return;
  const mapping = {
    orgID,
    bucketID,
    database: connection.bucket,
    retention_policy: "autogen",
    default: true,
  };
  await call(connection, "POST", "/api/v2/dbrps", mapping);
}

/** One call of the 2.x management API: undefined where the server has no such thing, OutageError for any other refusal. */
async function call(
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
