import type { Bus, KeyValue } from "@sluice/bus";
import type { Db, Queries } from "@sluice/db";
import type { Influx } from "@sluice/influx";
import type { Log } from "@sluice/service-kit";
import type { Brake } from "./brake.ts";
import type { Config } from "./config.ts";
import type { Events } from "./events.ts";
import type { Identities } from "./identity.ts";
import type { Live } from "./live.ts";
import type { Sessions } from "./session.ts";

/** What routes work with. */
export interface Deps {
  config: Config;
  db: Db;
  /** For charts and downloads: a replica where there is one, else the same as `db`. */
  reads: Queries;
  bus: Bus;
  keyValue: KeyValue;
  /** Undefined where no InfluxDB is configured. */
  influx: Influx | undefined;
  identities: Identities;
  sessions: Sessions;
  brake: Brake;
  live: Live;
  events: Events;
  log: Log;
}
