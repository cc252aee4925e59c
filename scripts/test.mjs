// npm test: installs what is missing, then type check, lint and all tests on real servers.
// --full runs the long suites (every settled fault of e2e/src/faults, *.full.test.ts) instead of the short ones. Other
// arguments go to jest.
import { spawnSync } from "node:child_process";
import { ensureServersToTest } from "./system-packages.mjs";
import { binary, ensureBuilt, ensureDependencies, ROOT, requireNode, say } from "./workspace.mjs";

requireNode();
const args = process.argv.slice(2);
const full = args.includes("--full");
const startedAt = Date.now();

ensureDependencies();
await ensureServersToTest({ yes: args.includes("--yes"), full });
step("Type check", binary("typescript", "tsc"), ["-b"]);
step("Lint", binary("@biomejs/biome", "biome"), ["check", "."]);
if (full)
  step("Unused exports and dependencies", binary("knip", "knip"), ["--no-progress", "--no-config-hints"]);
ensureBuilt();

if (full)
  step("Faults", "--import", [
    "tsx",
    "--conditions=source",
    "e2e/src/faults/main.ts",
    "--settled",
    "--small",
  ]);
const jestArgs = args.filter((arg) => arg !== "--full" && arg !== "--yes");
step(full ? "Long tests" : "Tests", binary("jest", "jest"), ["--passWithNoTests", ...jestArgs], {
  NODE_OPTIONS:
    `${process.env.NODE_OPTIONS ?? ""} --experimental-vm-modules --disable-warning=ExperimentalWarning`.trim(),
  TEST_FULL: full ? "1" : "",
});

/** Runs one program of the workspace; the first that fails ends the run with its exit code. */
function step(title, program, programArgs, env = {}) {
  say(`${title} … (${Math.round((Date.now() - startedAt) / 1000)} s)`);
  const result = spawnSync(process.execPath, [program, ...programArgs], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (result.status !== 0) {
    say(`${title}: failed`);
    process.exit(result.status ?? 1);
  }
}
