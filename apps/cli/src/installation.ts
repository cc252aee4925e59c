import type { Db } from "@sluice/db";
import { CAN_STREAM, type StreamKind, streamKey } from "@sluice/shared-types";
import type { Command } from "commander";
import { type Connection, connect } from "./connect.ts";
import { environment } from "./environment.ts";

/** The installation that a command line means: `--data-dir` may stand before or after the command. */
export function connectFor(command: Command): Connection {
  return connect({ dataDir: command.optsWithGlobals<{ dataDir?: string }>().dataDir });
}

/** Does `work` with the database of the installation that a command line means, and closes it. */
export async function withDb<T>(
  command: Command,
  work: (db: Db, connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = connectFor(command);
  const db = await connection.openDb();
  try {
    return await work(db, connection);
  } finally {
    await db.close();
  }
}

/** How many partitions the streams have. */
export function partitionCount(): number {
  const count = Number(environment.SLUICE_PARTITIONS ?? 1);
  return Number.isSafeInteger(count) && count >= 1 && count <= 64 ? count : 1;
}

/** The keys of every partition of a kind of stream. */
export function streamsOf(kind: StreamKind): string[] {
  return Array.from({ length: partitionCount() }, (_, partition) => streamKey(kind, partition));
}

/** Every stream there may be. */
export function allStreams(): string[] {
  const kinds: StreamKind[] = ["telemetry", "rejected", "commands", "outcomes"];
  return [...kinds.flatMap(streamsOf), CAN_STREAM];
}
