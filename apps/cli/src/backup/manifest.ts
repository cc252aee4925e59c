import { createHash } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { CommandError } from "../command-error.ts";

/** The files of a backup, in a folder of its own. */
export const FILES = {
  database: "database.dump",
  bus: "bus.ndjson.gz",
  secrets: "secrets.json",
  manifest: "manifest.json",
} as const;

const StreamPosition = z.object({
  stream: z.string(),
  /** Messages ever accepted: the next one has the ordinal after it. */
  accepted: z.number(),
  /** Messages that some group still needed; they are in the backup. */
  kept: z.number(),
  groups: z.array(
    z.object({ group: z.string(), unread: z.number(), pending: z.number(), parked: z.number() }),
  ),
});
/** Where a stream of the bus stood. */
export type StreamPosition = z.output<typeof StreamPosition>;

const Manifest = z.object({
  format: z.literal(1),
  takenAt: z.string(),
  /** Position in PostgreSQL's write-ahead log: where recovery to a point in time would go on from. */
  walPosition: z.string().nullable(),
  migrations: z.number(),
  tables: z.array(z.object({ table: z.string(), rows: z.number(), checksum: z.string() })),
  streams: z.array(StreamPosition),
  /** SHA-256 of the other files. */
  files: z.record(z.string(), z.string()),
});
/** What a backup says about itself; written last, so that a folder without one is no backup. */
export type Manifest = z.output<typeof Manifest>;

/** Reads the manifest of a backup and holds its files against it. @throws CommandError naming what is wrong */
export async function readManifest(folder: string): Promise<Manifest> {
  let manifest: Manifest;
  try {
    manifest = Manifest.parse(JSON.parse(readFileSync(join(folder, FILES.manifest), "utf8")));
  } catch (cause) {
    throw new CommandError(`${folder} is not a complete backup: its manifest cannot be read`, 1, { cause });
  }
  for (const [file, expected] of Object.entries(manifest.files)) {
    const found = await checksumOf(join(folder, file)).catch(() => undefined);
    if (found !== expected)
      throw new CommandError(
        `${join(folder, file)} is ${found === undefined ? "missing" : "damaged"}: take another backup`,
      );
  }
  return manifest;
}

/** SHA-256 of a file, as hex. */
export async function checksumOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
