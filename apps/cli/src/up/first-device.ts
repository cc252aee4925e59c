import { createDevice, type Db, DeviceExistsError, openDb } from "@sluice/db";
import type { NewDevice } from "@sluice/shared-types";
import { type Secrets, saveSecrets } from "../secrets.ts";

/** The device of document B, so that its examples work as they are. */
const FIRST_DEVICE = "esp32_001";

/** At the first start of a data folder: makes a device and gives its credential, which is kept nowhere. */
export async function createFirstDevice(
  dataDir: string,
  postgresUrl: string,
  secrets: Secrets,
  pepper: string,
): Promise<NewDevice | undefined> {
  if (secrets.firstDevice !== undefined) return undefined;
  const db = await openDb(postgresUrl, { max: 2, applicationName: "sluice-up" });
  try {
    const device = await createOnce(db, pepper);
    saveSecrets(dataDir, { ...secrets, firstDevice: FIRST_DEVICE });
    return device;
  } finally {
    await db.close();
  }
}

async function createOnce(db: Db, pepper: string): Promise<NewDevice | undefined> {
  try {
    return await createDevice(db, pepper, { id: FIRST_DEVICE, type: "esp32", name: "First device" });
  } catch (error) {
    if (error instanceof DeviceExistsError) return undefined;
    throw error;
  }
}
