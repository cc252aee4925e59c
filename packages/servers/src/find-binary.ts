import { accessSync, constants, readdirSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";

const EXTRA_FOLDERS = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/usr/bin", "/opt/homebrew/bin"];

/** The path of an installed program: on PATH, in the system folders or PostgreSQL's own; undefined if absent. */
export function findBinary(name: string): string | undefined {
  const onPath = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  // PostgreSQL's own folders first: a wrapper elsewhere may belong to another version than its initdb.
  const folders = [...postgresFolders(), ...onPath, ...EXTRA_FOLDERS];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/** Like {@link findBinary}, but throws a readable error naming the package that brings the program. */
export function getBinary(name: string, packageName: string): string {
  const path = findBinary(name);
  if (path === undefined) {
    throw new Error(`${name} is not installed: apt-get install ${packageName} (or put it on PATH)`);
  }
  return path;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function postgresFolders(): string[] {
  const root = "/usr/lib/postgresql";
  try {
    return readdirSync(root)
      .filter((version) => /^\d+$/.test(version))
      .sort((a, b) => Number(b) - Number(a))
      .map((version) => join(root, version, "bin"));
  } catch {
    return [];
  }
}
