import { resolve } from "node:path";
import { type Pack, PackError, readPacks } from "@sluice/packs";
import { CommandError } from "../command-error.ts";
import { environment, ROOT } from "../environment.ts";

/** The folder that packs are read from: `SLUICE_PACKS_DIR`, else `packs` of this installation. */
export const packsFolder = (): string => resolve(ROOT, environment.SLUICE_PACKS_DIR ?? "packs");

/** Every pack there is. @throws CommandError where a folder is no pack */
export async function listPacks(): Promise<Pack[]> {
  try {
    return await readPacks(packsFolder());
  } catch (error) {
    if (error instanceof PackError || (error as NodeJS.ErrnoException).code === "ENOENT")
      throw new CommandError((error as Error).message, 2, { cause: error });
    throw error;
  }
}

/** A pack by its name, or by the beginning of it. @throws CommandError naming those that there are */
export async function getPack(name: string): Promise<Pack> {
  const packs = await listPacks();
  const found =
    packs.find((pack) => pack.name === name) ?? packs.find((pack) => pack.name.startsWith(`${name}-`));
  if (found) return found;
  throw new CommandError(
    `there is no pack "${name}"; there are ${packs.map((pack) => pack.name).join(", ")}`,
    2,
  );
}
