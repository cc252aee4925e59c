import { type Connection, query } from "./connection.ts";
import { escapeIdentifier, escapeString } from "./influx-ql.ts";
import { outageOf } from "./refusal.ts";

/** What to delete: the points that carry all of `tags`, from `fromUs` up to but not including `toUs`. */
export interface DeleteRange {
  /** Only this measurement; all of them where it is left out. */
  measurement?: string;
  /** At least one, so that a slip cannot empty a database. */
  tags: Readonly<Record<string, string>>;
  /** Microseconds since the epoch. */
  fromUs: number;
  toUs: number;
}

/** Deletes a range of points; deleting it again changes nothing. @throws Error on 3, which has no deletion */
export async function deleteRange(connection: Connection, range: DeleteRange): Promise<void> {
  if (Object.keys(range.tags).length === 0) throw new RangeError("a deletion needs at least one tag");
  if (range.toUs <= range.fromUs) return;
  if (connection.version === 1) await query(connection, deleteStatement(range));
  else if (connection.version === 2) await deletePredicate(connection, range);
  else throw new Error("InfluxDB 3 cannot delete points: drop the table or let its retention do it");
}

function deleteStatement(range: DeleteRange): string {
  const from = range.measurement === undefined ? "" : ` FROM ${escapeIdentifier(range.measurement)}`;
  const tags = Object.entries(range.tags).map(
    ([key, value]) => `${escapeIdentifier(key)} = ${escapeString(value)}`,
  );
  const times = [`time >= ${nanoseconds(range.fromUs)}`, `time < ${nanoseconds(range.toUs)}`];
  return `DELETE${from} WHERE ${[...tags, ...times].join(" AND ")}`;
}

async function deletePredicate(connection: Connection, range: DeleteRange): Promise<void> {
  const { transport, org, bucket, authorization } = connection;
  const quote = (text: string) => `"${text.replace(/["\\]/g, "\\$&")}"`;
  const wanted = Object.entries(range.tags);
  if (range.measurement !== undefined) wanted.unshift(["_measurement", range.measurement]);
  const answer = await transport.send({
    method: "POST",
    path: `/api/v2/delete?${new URLSearchParams({ org, bucket })}`,
    headers: { ...authorization, "content-type": "application/json" },
    body: JSON.stringify({
      start: rfc3339(nanoseconds(range.fromUs)),
      // Points are on whole microseconds: right whether the server takes the end as in or out.
      stop: rfc3339(nanoseconds(range.toUs) - 1n),
      predicate: wanted.map(([key, value]) => `${quote(key)}=${quote(value)}`).join(" AND "),
    }),
  });
  if (answer.status >= 300) throw outageOf(answer);
}

const nanoseconds = (timeUs: number) => BigInt(timeUs) * 1000n;

function rfc3339(timeNs: bigint): string {
  const seconds = new Date(Number(timeNs / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(timeNs % 1_000_000_000n).padStart(9, "0")}Z`;
}
