import { randomBytes } from "node:crypto";
import { AGGREGATES, aggregateBucket, aggregateName, continuousQuery, fluxTask } from "./aggregates.ts";
import { type Connection, connect, type InfluxOptions, query } from "./connection.ts";
import { callManagement, ensureDatabase } from "./ensure-database.ts";
import { escapeIdentifier, escapeString } from "./influx-ql.ts";

/** How an InfluxDB is set up. */
export interface SetUpOptions {
  /** Administrator of a 2.x server that nobody has set up yet. */
  username?: string | undefined;
  password?: string | undefined;
  /** How long readings are kept. Default: for ever. */
  retentionMs?: number | undefined;
  /** Make a token (1.x: a user) that may read and write all buckets. */
  token: boolean;
}

/** What {@link setUpInflux} found and made. */
export interface SetUpResult {
  /** A line for each thing that was not there before. */
  made: string[];
  /** Credentials that were made, by the names of our variables: shown once. */
  credentials: Record<string, string>;
}

/**
 * Makes sure of organisation, bucket (1.x: database), aggregate buckets with what fills them (1.x: continuous queries,
 * 2.x: Flux tasks, 3: nothing, it has neither) and, where asked, a token. Doing it again changes nothing.
 * `influx` is an administrator's.
 */
export async function setUpInflux(influx: InfluxOptions, options: SetUpOptions): Promise<SetUpResult> {
  const result: SetUpResult = { made: [], credentials: {} };
  const token = influx.version === 2 ? await onboard(influx, options, result) : undefined;
  const connection = connect(token === undefined ? influx : { ...influx, token });
  try {
    if (connection.version === 1) await setUp1(connection, options, result);
    else if (connection.version === 2) await setUp2(connection, options, result);
  } finally {
    connection.transport.close();
  }
  return result;
}

const inBucket = (connection: Connection, bucket: string): Connection => ({ ...connection, bucket });

async function setUp1(connection: Connection, options: SetUpOptions, result: SetUpResult): Promise<void> {
  const { bucket } = connection;
  const note = (what: string) => result.made.push(what);
  if (await ensureDatabase(connection, options.retentionMs)) note(`database ${bucket}`);
  const defined = (await query(connection, "SHOW CONTINUOUS QUERIES")).find(({ name }) => name === bucket);
  for (const aggregate of AGGREGATES) {
    const target = aggregateBucket(bucket, aggregate);
    if (await ensureDatabase(inBucket(connection, target))) note(`database ${target}`);
    const name = aggregateName(aggregate);
    if (defined?.rows.some((row) => row.name === name)) continue;
    await query(connection, continuousQuery(bucket, aggregate));
    note(`continuous query ${name}`);
  }
  if (options.token) await ensureUser(connection, result);
}

const USER = "sluice";

async function ensureUser(connection: Connection, result: SetUpResult): Promise<void> {
  const users = await query(connection, "SHOW USERS");
  if (users.some(({ rows }) => rows.some((row) => row.user === USER))) return;
  const password = randomBytes(24).toString("base64url");
  const name = escapeIdentifier(USER);
  await query(connection, `CREATE USER ${name} WITH PASSWORD ${escapeString(password)}`);
  for (const bucket of bucketsOf(connection))
    await query(connection, `GRANT ALL ON ${escapeIdentifier(bucket)} TO ${name}`);
  result.made.push(`user ${USER}`);
  Object.assign(result.credentials, { INFLUXDB_USERNAME: USER, INFLUXDB_PASSWORD: password });
}

const bucketsOf = ({ bucket }: Connection) => [
  bucket,
  ...AGGREGATES.map((aggregate) => aggregateBucket(bucket, aggregate)),
];

/** Sets up a server that nobody has set up yet; the administrator's token where it did. */
async function onboard(
  influx: InfluxOptions,
  { username = "admin", password, retentionMs }: SetUpOptions,
  result: SetUpResult,
): Promise<string | undefined> {
  const connection = connect(influx);
  try {
    const state = await callManagement(connection, "GET", "/api/v2/setup");
    if (state?.allowed !== true) return undefined;
    const secret = password ?? randomBytes(18).toString("base64url");
    const answer = await callManagement(connection, "POST", "/api/v2/setup", {
      username,
      password: secret,
      org: connection.org,
      bucket: connection.bucket,
      retentionPeriodSeconds: Math.ceil((retentionMs ?? 0) / 1000),
    });
    const { token } = (answer?.auth ?? {}) as { token?: string };
    if (token === undefined) throw new Error("InfluxDB was set up but gave no token");
    result.made.push(
      `administrator ${username}`,
      `organisation ${connection.org}`,
      `bucket ${connection.bucket}`,
    );
    if (password === undefined) Object.assign(result.credentials, { INFLUXDB_ADMIN_PASSWORD: secret });
    result.credentials.INFLUXDB_ADMIN_TOKEN = token;
    return token;
  } finally {
    connection.transport.close();
  }
}

async function setUp2(connection: Connection, options: SetUpOptions, result: SetUpResult): Promise<void> {
  const orgID = await ensureOrganisation(connection, result);
  const ids: string[] = [];
  for (const bucket of bucketsOf(connection)) {
    const target = inBucket(connection, bucket);
    const retentionMs = bucket === connection.bucket ? options.retentionMs : undefined;
    if (await ensureDatabase(target, retentionMs)) result.made.push(`bucket ${bucket}`);
    const [found] = await listed(target, "buckets", { orgID, name: bucket });
    if (found?.id !== undefined) ids.push(found.id);
  }
  for (const aggregate of AGGREGATES) {
    const name = aggregateName(aggregate);
    const flux = fluxTask(connection.bucket, aggregate);
    const [task] = await listed(connection, "tasks", { orgID, name });
    if (task !== undefined) continue;
    await callManagement(connection, "POST", "/api/v2/tasks", { orgID, flux, status: "active" });
    result.made.push(`task ${name}`);
  }
  if (options.token) await ensureToken(connection, orgID, ids, result);
}

async function ensureOrganisation(connection: Connection, result: SetUpResult): Promise<string> {
  const { org } = connection;
  const [found] = await listed(connection, "orgs", { org });
  if (found?.id !== undefined) return found.id;
  const made = await callManagement(connection, "POST", "/api/v2/orgs", { name: org });
  result.made.push(`organisation ${org}`);
  return String(made?.id ?? "");
}

/** One token with this description at most: the server does not show it a second time. */
async function ensureToken(
  connection: Connection,
  orgID: string,
  buckets: readonly string[],
  result: SetUpResult,
): Promise<void> {
  const description = `sluice ${connection.bucket}`;
  const known = await listed(connection, "authorizations", { orgID });
  if (known.some((token) => token.description === description)) return;
  const permissions = buckets.flatMap((id) =>
    ["read", "write"].map((action) => ({ action, resource: { type: "buckets", id, orgID } })),
  );
  const made = await callManagement(connection, "POST", "/api/v2/authorizations", {
    orgID,
    description,
    permissions,
  });
  result.made.push(`token "${description}"`);
  result.credentials.INFLUXDB_TOKEN = String(made?.token ?? "");
}

/** What a list of the management API holds; empty also where the server says that there is no such thing. */
async function listed(
  connection: Connection,
  kind: "orgs" | "buckets" | "tasks" | "authorizations",
  filter: Record<string, string>,
): Promise<{ id?: string; description?: string }[]> {
  const found = await callManagement(connection, "GET", `/api/v2/${kind}?${new URLSearchParams(filter)}`);
  return (found?.[kind] as { id?: string; description?: string }[] | undefined) ?? [];
}
