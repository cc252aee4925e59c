// The servers this project runs on, from the system's package manager.
import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline/promises";
import { fail, say } from "./workspace.mjs";

/** Program, its Debian package, and the variable that names an outside server instead. */
const PROGRAMS = [
  { program: "redis-server", package: "redis-server", instead: "REDIS_URL" },
  { program: "postgres", package: "postgresql", instead: "DATABASE_URL" },
  { program: "influxd", package: "influxdb", instead: "INFLUXDB_URL", service: "influx-writer" },
  { program: "mosquitto_pub", package: "mosquitto-clients" },
  { program: "mosquitto", package: "mosquitto", spare: true },
  { program: "nats-server", package: "nats-server", spare: true },
];
const FOR_TESTS = [
  { program: "victoria-metrics", package: "victoria-metrics" },
  { program: "chromium", package: "chromium" },
  { program: "promtool", package: "prometheus" },
  { program: "pgbouncer", package: "pgbouncer" },
];
const FOR_LONG_TESTS = [
  // brings nginx, too
  { program: "nginx", package: "libnginx-mod-stream", spare: true },
  { program: "caddy", package: "caddy", spare: true },
];

/** Makes sure that what `up` starts is installed. `services` is the `--services` list, if any. */
export async function ensureServersToRun({ yes, services }) {
  const needed = ({ instead, service, spare }) =>
    !spare && !(instead && process.env[instead]) && !(service && services && !services.includes(service));
  await ensure(PROGRAMS, needed, yes);
}

/** Makes sure that everything the tests use is installed; the long ones do without what is spare. */
export async function ensureServersToTest({ yes, full }) {
  await ensure([...PROGRAMS, ...FOR_TESTS], () => true, yes);
  if (full) await ensure(FOR_LONG_TESTS, () => false, yes);
}

async function ensure(programs, needed, yes) {
  const missing = programs.filter(({ program }) => !isInstalled(program));
  if (missing.length === 0) return;
  const packages = missing.map((entry) => entry.package);
  const serious = missing.some(needed);
  const prefix = serious || isRoot() ? await findInstaller() : undefined;
  if (prefix === undefined) {
    if (!serious) return;
    fail(`these packages are missing and neither root nor sudo is there to install them:
  ${packages.join(" ")}
Install them, for example: ${manualCommand(packages)}`);
  }
  if (!(await mayInstall(packages, yes))) fail(`not installed: ${packages.join(" ")}`);
  await install(prefix, missing, needed);
}

async function install(prefix, missing, needed) {
  await runQuietly("Refreshing the package lists", [...prefix, "apt-get", "update", ...LOCK]);
  const offered = missing.filter((entry) => isOffered(entry.package));
  const packages = offered.map((entry) => entry.package);
  if (packages.length > 0) {
    const options = ["-y", "--no-install-recommends", ...LOCK];
    await runQuietly(`Installing ${packages.join(" ")}`, [
      ...prefix,
      "apt-get",
      "install",
      ...options,
      ...packages,
    ]);
  }
  const still = missing.filter(({ program }) => !isInstalled(program));
  const serious = still.filter(needed).map((entry) => entry.package);
  if (serious.length > 0) {
    fail(`this system's package manager does not offer ${serious.join(" ")}: install them by hand, name an outside
server (REDIS_URL, DATABASE_URL, INFLUXDB_URL), or leave a service out (--services)`);
  }
}

const LOCK = ["-o", "DPkg::Lock::Timeout=120"];

/** What to put before apt-get; undefined where we may not install. */
async function findInstaller() {
  if (!isInstalled("apt-get")) return undefined;
  if (isRoot()) return [];
  if (!isInstalled("sudo")) return undefined;
  if (spawnSync("sudo", ["-n", "true"], { stdio: "ignore" }).status === 0) return ["sudo", "-n"];
  return process.stdin.isTTY && process.stderr.isTTY ? ["sudo"] : undefined;
}

async function mayInstall(packages, yes) {
  if (yes || !process.stdin.isTTY || !process.stderr.isTTY) return true;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(`Install with apt-get: ${packages.join(" ")}? [Y/n] `);
  terminal.close();
  return /^(y|yes|)$/i.test(answer.trim());
}

/** Runs a slow command with a line at its start, every ten seconds and at its end; its output only if it fails. */
function runQuietly(title, [program, ...args]) {
  say(`${title} …`);
  const startedAt = Date.now();
  const seconds = () => Math.round((Date.now() - startedAt) / 1000);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" };
  const child = spawn(program, args, {
    env,
    stdio: [process.stdin.isTTY ? "inherit" : "ignore", "pipe", "pipe"],
  });
  const output = [];
  child.stdout.on("data", (chunk) => output.push(chunk));
  child.stderr.on("data", (chunk) => output.push(chunk));
  const beat = setInterval(() => say(`  … ${seconds()} s`), 10_000);
  return new Promise((resolve) => {
    child.once("error", (error) => fail(`${program} cannot run: ${error.message}`));
    child.once("close", (code) => {
      clearInterval(beat);
      if (code !== 0) {
        process.stderr.write(Buffer.concat(output));
        fail(`${[program, ...args].join(" ")} failed with exit code ${code}`);
      }
      say(`${title}: done in ${seconds()} s`);
      resolve();
    });
  });
}

function isOffered(packageName) {
  const result = spawnSync("apt-cache", ["policy", packageName], {
    encoding: "utf8",
    env: { ...process.env, LC_ALL: "C" },
  });
  return /Candidate: (?!\(none\))/.test(result.stdout ?? "");
}

function manualCommand(packages) {
  if (process.platform === "darwin") {
    return "brew install redis mosquitto postgresql@16 influxdb@1 nats-server";
  }
  return `apt-get install -y --no-install-recommends ${packages.join(" ")}`;
}

function isRoot() {
  return process.getuid?.() === 0;
}

function isInstalled(program) {
  const folders = (process.env.PATH ?? "").split(delimiter);
  folders.push(
    "/usr/local/bin",
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/sbin",
    "/opt/homebrew/bin",
    ...postgresFolders(),
  );
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return folder !== "";
    } catch {
      return false;
    }
  });
}

function postgresFolders() {
  const root = "/usr/lib/postgresql";
  return existsSync(root) ? readdirSync(root).map((version) => join(root, version, "bin")) : [];
}
