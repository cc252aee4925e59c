import { createSecret, createUser, openDb, UserExistsError } from "@sluice/db";
import { readSecrets, saveSecrets } from "../secrets.ts";

/** A person made at the first start; the password is kept nowhere in clear text. */
export interface FirstAdmin {
  email: string;
  password: string;
}

const EMAIL = "admin@sluice.local";

/** At the first start of a data folder with an api: makes an admin and gives the password. */
export async function createFirstAdmin(
  dataDir: string,
  postgresUrl: string,
): Promise<FirstAdmin | undefined> {
  const secrets = readSecrets(dataDir);
  if (secrets.firstAdmin !== undefined) return undefined;
  const password = createSecret(20);
  const db = await openDb(postgresUrl, { max: 2, applicationName: "sluice-up" });
  try {
    await createUser(db, { email: EMAIL, password, role: "admin" });
    return { email: EMAIL, password };
  } catch (error) {
    if (error instanceof UserExistsError) return undefined;
    throw error;
  } finally {
    saveSecrets(dataDir, { ...secrets, firstAdmin: EMAIL });
    await db.close();
  }
}
