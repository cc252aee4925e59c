import { createFleet, type Db } from "@sluice/db";
import { type Fleet, type FleetOptions, openFleet } from "./open-fleet.ts";

/** A fleet to make and connect. */
export interface ProvisionOptions extends Omit<FleetOptions, "username" | "password"> {
  username: string;
  devices: readonly string[];
  type: string;
}

const READY_MS = 20_000;
const OVERLAP_MS = 24 * 3_600_000;

/**
 * Gives the devices one credential that may speak for all of them and connects with it; resolves once all
 * connections are accepted. @throws Error where that does not happen in time
 */
export async function provisionFleet(db: Db, pepper: string, options: ProvisionOptions): Promise<Fleet> {
  const { username, devices, type } = options;
  const { password } = await createFleet(db, pepper, { username, devices, type, overlapMs: OVERLAP_MS });
  const fleet = openFleet({ ...options, username, password });
  try {
    await fleet.ready(READY_MS);
    return fleet;
  } catch (error) {
    await fleet.close();
    throw error;
  }
}
