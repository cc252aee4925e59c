import { OutageError } from "@sluice/shared-types";
import { type Answer, createTransport, type Transport } from "./http-transport.ts";
import { parseQueryAnswer, type Series } from "./influx-ql.ts";
import { messageOf, outageOf } from "./refusal.ts";

/** Generation of the write API: 1 is `/write`, 2 and 3 are `/api/v2/write`. */
export type InfluxVersion = 1 | 2 | 3;

/** Where InfluxDB is and how to speak to it. */
export interface InfluxOptions {
  /** Base URL; user and password in it are used like `username` and `password`. */
  url: string;
  version: InfluxVersion;
  /** Database (1, 3) or bucket (2). */
  bucket: string;
  /** Organisation; 2 only. */
  org?: string;
  /** Token; 2 and 3. */
  token?: string;
  /** Basic authentication; 1 only. */
  username?: string;
  password?: string;
  /** How long one request may take. Default 10 s. */
  timeoutMs?: number;
}

/** Variables of the environment that say where InfluxDB is. */
export interface InfluxVariables {
  INFLUXDB_URL: string;
  INFLUXDB_VERSION: string;
  INFLUXDB_BUCKET: string;
  INFLUXDB_ORG: string;
  INFLUXDB_TOKEN?: string | undefined;
  INFLUXDB_USERNAME?: string | undefined;
  INFLUXDB_PASSWORD?: string | undefined;
}

/** How to reach the InfluxDB that variables name. */
export function influxOptions(given: InfluxVariables): InfluxOptions {
  const { INFLUXDB_TOKEN: token, INFLUXDB_USERNAME: username, INFLUXDB_PASSWORD: password } = given;
  return {
    url: given.INFLUXDB_URL,
    version: Number(given.INFLUXDB_VERSION) as InfluxVersion,
    bucket: given.INFLUXDB_BUCKET,
    org: given.INFLUXDB_ORG,
    ...(token === undefined ? {} : { token }),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  };
}

/** What requests need to know: where, as whom, and how. */
export interface Connection extends Required<Pick<InfluxOptions, "version" | "bucket">> {
  transport: Transport;
  org: string;
  authorization: Record<string, string>;
}

/** Makes the connection of `options`; nothing is sent. */
export function connect(options: InfluxOptions): Connection {
  const url = new URL(options.url);
  const user = options.username ?? decodeURIComponent(url.username);
  const password = options.password ?? decodeURIComponent(url.password);
  const authorization: Record<string, string> = {};
  if (options.version === 1) {
    if (user !== "") {
      authorization.authorization = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
    }
  } else if (options.token) authorization.authorization = `Token ${options.token}`;
  const { version, bucket, org = "" } = options;
  return {
    transport: createTransport(url, options.timeoutMs ?? 10_000),
    version,
    bucket,
    org,
    authorization,
  };
}

/** Runs InfluxQL on `/query`, which every generation answers (2.x for a bucket with a DBRP mapping). */
export async function query(connection: Connection, influxQl: string): Promise<Series[]> {
  const answer = await connection.transport.send({
    method: "POST",
    path: `/query?${new URLSearchParams({ db: connection.bucket, epoch: "u" })}`,
    headers: { ...connection.authorization, "content-type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams({ q: influxQl }).toString(),
  });
  if (answer.status === 400) throw new Error(`InfluxDB refused a query: ${messageOf(answer)}`);
  if (answer.status !== 200) throw outageOf(answer);
  return parseAnswer(answer);
}

const MISSING =
  /database not found|dbrp|(database|bucket) .*(not found|does not exist)|could not find bucket|not found.*(database|bucket)/i;

/** Runs InfluxQL in another bucket; no series where there is no such bucket. */
export async function queryOther(
  connection: Connection,
  influxQl: string,
  bucket: string,
): Promise<Series[]> {
  try {
    return await query({ ...connection, bucket }, influxQl);
  } catch (error) {
    if (error instanceof Error && MISSING.test(error.message)) return [];
    throw error;
  }
}

function parseAnswer(answer: Answer): Series[] {
  try {
    return parseQueryAnswer(answer.body);
  } catch (cause) {
    // Said with status 200, although asking again later may well work.
    if (
      cause instanceof Error &&
      /timeout|max-(concurrent|select)|shutting down|engine is closed/.test(cause.message)
    )
      throw new OutageError("influx", cause.message, undefined, { cause });
    throw cause;
  }
}
