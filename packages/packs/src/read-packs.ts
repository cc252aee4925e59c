import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { Dashboard, Pack } from "./pack.ts";

/** A folder that is no pack: `message` names the file and every problem in it. */
export class PackError extends Error {
  override readonly name = "PackError";
}

/**
 * Reads the pack in `folder`: `pack.json`, `simulator.json` and `dashboards/*.json`.
 * @throws PackError where a file is missing or says something that no pack may say
 */
export async function readPack(folder: string): Promise<Pack> {
  const pack = await readJson(join(folder, "pack.json"));
  const simulator = await readJson(join(folder, "simulator.json"));
  const names = await readdir(join(folder, "dashboards")).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const dashboards = await Promise.all(
    names
      .filter((name) => name.endsWith(".json"))
      .sort()
      .map(async (name) =>
        check(Dashboard, join(folder, "dashboards", name), await readJson(join(folder, "dashboards", name))),
      ),
  );
  return check(Pack, folder, { ...(pack as object), simulator, dashboards });
}

/** Every pack below `root`, by name; a folder without `pack.json` is none. @throws PackError */
export async function readPacks(root: string): Promise<Pack[]> {
  const entries = await readdir(root, { withFileTypes: true, recursive: false });
  const packs: Pack[] = [];
  for (const entry of entries.sort((a, b) => a.name.localeCompare(b.name))) {
    const folder = join(root, entry.name);
    if (!entry.isDirectory() || !(await readdir(folder)).includes("pack.json")) continue;
    const pack = await readPack(folder);
    if (pack.name !== entry.name) throw new PackError(`${folder}: pack.json is named '${pack.name}'`);
    packs.push(pack);
  }
  return packs;
}

async function readJson(path: string): Promise<unknown> {
  const text = await readFile(path, "utf8").catch((cause: Error) => {
    throw new PackError(`${path}: ${cause.message}`, { cause });
  });
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new PackError(`${path}: ${(cause as Error).message}`, { cause });
  }
}

function check<T extends z.ZodType>(schema: T, path: string, value: unknown): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new PackError(`${path}:\n${z.prettifyError(result.error)}`);
}
