import { publishTombstone } from "@sluice/bus";
import { type Actor, deleteReadings } from "@sluice/db";
import type { Deps } from "./deps.ts";

/**
 * Deletes all readings of a device from a range. The tombstone goes through the bus first, so that what was accepted
 * before and is still on its way is deleted as well, in every sink; then what is stored is deleted at once. How many.
 */
export async function deleteDeviceRange(
  { bus, db, config }: Pick<Deps, "bus" | "db" | "config">,
  device: string,
  range: { fromUs: number; toUs: number },
  actor: Actor,
): Promise<number> {
  await publishTombstone(bus, { device, ...range }, { partitions: config.SLUICE_PARTITIONS });
  return deleteReadings(db, device, range, actor);
}
