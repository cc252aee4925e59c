// Runs the CLI; what is missing is installed and built first.
import { ensureServersToRun } from "./system-packages.mjs";
import { ensureBuilt, ensureDependencies, requireNode } from "./workspace.mjs";

requireNode();
const args = process.argv.slice(2);
ensureDependencies();
ensureBuilt();
if (args.includes("up") && !args.includes("--help") && !args.includes("-h")) {
  const at = args.findIndex((arg) => arg === "--services" || arg.startsWith("--services="));
  const named = at < 0 ? process.env.SLUICE_SERVICES : (args[at].split("=")[1] ?? args[at + 1]);
  const yes = args.includes("--yes") || /^(1|true)$/.test(process.env.SLUICE_YES ?? "");
  await ensureServersToRun({ yes, services: named ? named.split(",") : undefined });
}
await import(new URL("../apps/cli/dist/main.js", import.meta.url));
