import type { ConsumeParkedOptions } from "@sluice/bus";
import { type Db, openDb, refillParked } from "@sluice/db";
import { GROUPS, type Resource } from "@sluice/shared-types";

/** Where parked entries are taken from. */
export interface ParkedSource extends Resource, Pick<ConsumeParkedOptions, "take"> {}

/** What is parked for InfluxDB in the database at `url`, which may be down; nothing without one. The caller closes it. */
export function openParkedSource(url: string | undefined): ParkedSource {
  let db: Db | undefined;
  return {
    async take(work) {
      if (url === undefined) return false;
      db ??= await openDb(url, { max: 1, applicationName: "influx-writer" });
      return refillParked(db, GROUPS.influx, work);
    },
    async ping() {}, // points are written without it
    async close() {
      await db?.close();
    },
  };
}
