import { join } from "node:path";

/** Arguments that let Node run the script `name` beside this file, as source or compiled, as this process runs. */
export const ownScript = (name: string): string[] => [
  ...process.execArgv,
  join(import.meta.dirname, `${name}${import.meta.filename.endsWith(".ts") ? ".ts" : ".js"}`),
];
