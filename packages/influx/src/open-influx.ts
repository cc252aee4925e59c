import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { Resource } from "@sluice/shared-types";
import {
  type Connection,
  connect,
  type InfluxOptions,
  type InfluxVersion,
  query,
  queryOther,
} from "./connection.ts";
import { type DeleteRange, deleteRange } from "./delete-range.ts";
import { ensureDatabase } from "./ensure-database.ts";
import type { Series } from "./influx-ql.ts";
import { outageOf, type Refusal, readWriteAnswer } from "./refusal.ts";
import { type RejectedLine, settleLines } from "./settle-lines.ts";

/** An open InfluxDB. */
export interface Influx extends Resource {
  readonly version: InfluxVersion;
  /** Database (1, 3) or bucket (2). */
  readonly bucket: string;
  /**
   * Sends lines in one request. Resolves with undefined only when the server has said that it stored every one;
   * with its refusal when it said that at least one is bad. Rejects with OutageError, with the `Retry-After` it
   * asked for, in every other case: nothing is known then, and the same lines may be sent again. A database that
   * is missing is made.
   */
  post(lines: readonly string[]): Promise<Refusal | undefined>;
  /** Sends lines until each is stored or rejected by name: see {@link settleLines}. */
  write(lines: readonly string[]): Promise<RejectedLine[]>;
  /**
   * Runs InfluxQL (build it with `influxQl`), in another bucket where one is named: that has no series where it is
   * missing. Rejects with OutageError, or Error where the query is wrong.
   */
  query(influxQl: string, bucket?: string): Promise<Series[]>;
  /** Deletes what `range` says, in every measurement it does not exclude. Resolves when it is done. */
  deleteRange(range: DeleteRange): Promise<void>;
  /**
   * Makes sure that the database (1.x) or bucket (2.x) exists; with `retentionMs`, that new ones keep points that
   * long (default: for ever). 3 creates databases by itself. Needs rights that writing does not.
   */
  ensureDatabase(retentionMs?: number): Promise<void>;
}

const compress = promisify(gzip);
const SMALL = 1024;

/** Opens InfluxDB. Nothing is sent yet: it may be down. Close it to drop its connections. */
export function openInflux(options: InfluxOptions): Influx {
  const connection = connect(options);
  const { transport, version, authorization } = connection;
  const target = writePath(connection);

  async function post(lines: readonly string[]): Promise<Refusal | undefined> {
    if (lines.length === 0) return undefined;
    const plain = Buffer.from(lines.join("\n"));
    const headers: Record<string, string> = { ...authorization, "content-type": "text/plain; charset=utf-8" };
    const packed = plain.length > SMALL;
    if (packed) headers["content-encoding"] = "gzip";
    const body = packed ? await compress(plain, { level: 1 }) : plain;
    const request = { method: "POST", path: target, headers, body } as const;
    let answer = await transport.send(request);
    if (answer.status === 404) {
      await ensureDatabase(connection); // dropped, or a new server in the place of the old one
      answer = await transport.send(request);
    }
    return readWriteAnswer(answer, lines);
  }

  return {
    version,
    bucket: connection.bucket,
    post,
    write: (lines) => settleLines(post, lines),
    query: (influxQl, bucket) =>
      bucket === undefined ? query(connection, influxQl) : queryOther(connection, influxQl, bucket),
    deleteRange: (range) => deleteRange(connection, range),
    async ensureDatabase(retentionMs) {
      await ensureDatabase(connection, retentionMs);
    },
    async ping() {
      const answer = await transport.send({ method: "GET", path: "/ping", headers: authorization });
      if (answer.status >= 300) throw outageOf(answer);
    },
    async close() {
      transport.close();
    },
  };
}

function writePath({ version, bucket, org }: Connection): string {
  if (version === 1) return `/write?${new URLSearchParams({ db: bucket, precision: "u" })}`;
  return `/api/v2/write?${new URLSearchParams({ org, bucket, precision: "us" })}`;
}
