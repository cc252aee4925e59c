import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { replaceFile } from "./write-file.ts";

const Influx = z.object({
  url: z.string(),
  version: z.enum(["1", "2", "3"]),
  username: z.string().optional(),
  password: z.string().optional(),
  token: z.string().optional(),
  org: z.string(),
  /** Bucket, or database of 1.x. */
  bucket: z.string(),
});

const State = z.object({
  pid: z.number(),
  startedAt: z.string(),
  /** Address the listeners are bound to. */
  host: z.string(),
  mqttPort: z.number(),
  httpPort: z.number(),
  mqttUrl: z.string(),
  httpUrl: z.string(),
  /** With credentials, like the other two: the file is its owner's alone. */
  postgresUrl: z.string(),
  redisUrl: z.string(),
  busUrl: z.string(),
  influx: Influx.nullable(),
  topicRoot: z.string(),
  services: z.array(
    z.object({ name: z.string(), pid: z.number().nullable(), opsPort: z.number(), restarts: z.number() }),
  ),
  servers: z.array(
    z.object({ name: z.string(), pid: z.number().nullable(), port: z.number(), restarts: z.number() }),
  ),
});

/** What `up` says about itself in its data folder. */
export type State = z.output<typeof State>;
/** How to reach InfluxDB. */
export type InfluxAccess = z.output<typeof Influx>;

/** What the last `up` on this folder wrote; undefined where none did, or an incompatible one. */
export function findState(dataDir: string): State | undefined {
  try {
    return State.parse(JSON.parse(readFileSync(join(dataDir, "state.json"), "utf8")));
  } catch {
    return undefined;
  }
}

/** Replaces the folder's state. */
export function saveState(dataDir: string, state: State): void {
  replaceFile(join(dataDir, "state.json"), `${JSON.stringify(state, null, 2)}\n`);
}
