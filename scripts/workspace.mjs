// Dependencies and build of this checkout, brought up to date only where they are not.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = resolve(fileURLToPath(new URL("..", import.meta.url)));

const MODULES = join(ROOT, "node_modules");
const CACHE = join(MODULES, ".cache", "sluice");
const RUNNABLE = ["services", "apps"];
/** The web pages: bundled, where everything else is compiled. */
const CONSOLE = join(ROOT, "apps", "console");
const PROJECTS = ["packages", ...RUNNABLE];

/** One line of progress; standard output stays for what was asked for. */
export function say(text) {
  process.stderr.write(`${text}\n`);
}

/** Ends the process with a readable line. */
export function fail(text, exitCode = 2) {
  process.stderr.write(`sluice: ${text}\n`);
  process.exit(exitCode);
}

export function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 18)) {
    fail(`Node 20.18 or newer is needed, this is ${process.versions.node}`);
  }
}

/** Installs the packages of pnpm-lock.yaml unless that was done for this lockfile. */
export function ensureDependencies() {
  const stamp = join(MODULES, ".sluice-installed");
  const wanted = digest(readFileSync(join(ROOT, "pnpm-lock.yaml")), process.versions.modules);
  if (readStamp(stamp) === wanted) return;
  locked("install", () => {
    if (readStamp(stamp) === wanted) return;
    const { packageManager } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    say(`Installing Node packages with ${packageManager} (about 20 s) …`);
    const [program, ...first] = pnpm(packageManager);
    const args = [...first, "install", "--frozen-lockfile", "--prod=false", "--reporter=append-only"];
    const env = { ...process.env, CI: "true", NODE_OPTIONS: "" };
    const result = spawnSync(program, args, { cwd: ROOT, env, stdio: ["ignore", 2, 2] });
    if (result.status !== 0) fail(`installing Node packages failed: ${reasonOf(result)} (see above)`, 1);
    writeFileSync(stamp, wanted);
  });
}

/** Builds what `sluice` runs and shows unless it was built from exactly these sources. */
export function ensureBuilt() {
  ensureCompiled();
  ensureConsole();
}

function ensureCompiled() {
  const stamp = join(CACHE, "built");
  if (readStamp(stamp) === sourcesDigest() && isBuilt()) return;
  locked("build", () => {
    const wanted = sourcesDigest();
    if (readStamp(stamp) === wanted && isBuilt()) return;
    say("Building …");
    const projects = RUNNABLE.flatMap(projectsIn);
    const result = spawnSync(process.execPath, [binary("typescript", "tsc"), "-b", ...projects], {
      cwd: ROOT,
      stdio: ["ignore", 2, 2],
    });
    if (result.status === 0) writeFileSync(stamp, wanted);
    else if (!existsSync(join(ROOT, "apps/cli/dist/main.js")))
      fail(`the build failed: ${reasonOf(result)}`, 1);
    else say("The build has errors (above); going on with what it made.");
  });
}

/** The console is not needed for running: where it cannot be built, its address says so. */
function ensureConsole() {
  const stamp = join(CACHE, "console-built");
  const page = join(CONSOLE, "dist", "index.html");
  if (readStamp(stamp) === consoleDigest() && existsSync(page)) return;
  locked("console", () => {
    const wanted = consoleDigest();
    if (readStamp(stamp) === wanted && existsSync(page)) return;
    say("Building the console …");
    const vite = binary("vite", "vite", join(CONSOLE, "node_modules"));
    const result = spawnSync(process.execPath, [vite, "build", "--logLevel", "warn"], {
      cwd: CONSOLE,
      env: { ...process.env, NODE_ENV: "production" },
      stdio: ["ignore", 2, 2],
    });
    if (result.status === 0) writeFileSync(stamp, wanted);
    else say(`The console could not be built (${reasonOf(result)}, see above); everything else runs.`);
  });
}

/** The program file of an installed package, for running it with this Node. */
export function binary(packageName, name, modules = MODULES) {
  const folder = join(modules, packageName);
  const { bin } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return join(folder, typeof bin === "string" ? bin : bin[name]);
}

/** The pinned pnpm if it is installed, else through npx. */
function pnpm(packageManager) {
  const version = packageManager.split("@")[1]?.split("+")[0];
  const installed = spawnSync("pnpm", ["--version"], { cwd: "/", encoding: "utf8" });
  return installed.stdout?.trim() === version ? ["pnpm"] : ["npx", "--yes", `pnpm@${version}`];
}

function isBuilt() {
  return RUNNABLE.flatMap(projectsIn).every((project) => existsSync(join(project, "dist")));
}

function projectsIn(folder) {
  const path = join(ROOT, folder);
  if (!existsSync(path)) return [];
  return readdirSync(path)
    .map((name) => join(path, name))
    .filter((project) => project !== CONSOLE && existsSync(join(project, "tsconfig.json")));
}

/** Names, sizes and times of all sources: what a build depends on. */
function sourcesDigest() {
  const files = [join(ROOT, "pnpm-lock.yaml"), join(ROOT, "tsconfig.base.json")];
  for (const project of PROJECTS.flatMap(projectsIn)) {
    files.push(join(project, "package.json"), join(project, "tsconfig.json"));
    const src = join(project, "src");
    if (!existsSync(src)) continue;
    for (const name of readdirSync(src, { recursive: true })) {
      if (/\.tsx?$/.test(name) && !name.endsWith(".test.ts")) files.push(join(src, name));
    }
  }
  return digestOf(files);
}

/** The same for the console. */
function consoleDigest() {
  const files = [join(ROOT, "pnpm-lock.yaml")];
  for (const name of ["package.json", "tsconfig.json", "vite.config.ts", "index.html"])
    files.push(join(CONSOLE, name));
  for (const folder of ["src", "public"]) {
    for (const name of readdirSync(join(CONSOLE, folder), { recursive: true }))
      files.push(join(CONSOLE, folder, name));
  }
  return digestOf(files);
}

function digestOf(files) {
  const facts = files.sort().map((file) => {
    const stat = statSync(file, { throwIfNoEntry: false });
    return `${file} ${stat?.size} ${stat?.isFile() ? stat.mtimeMs : ""}`;
  });
  return digest(facts.join("\n"), process.versions.node);
}

function digest(...parts) {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

function readStamp(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function reasonOf(result) {
  return result.error?.message ?? `exit code ${result.status ?? result.signal}`;
}

/** One process at a time; the lock of a process that is gone is taken over. */
function locked(name, work) {
  mkdirSync(CACHE, { recursive: true });
  const lock = join(CACHE, `${name}.lock`);
  let told = false;
  while (!tryWrite(lock)) {
    const pid = Number(readStamp(lock));
    if (Number.isInteger(pid) && pid > 0 && !isAlive(pid)) {
      rmSync(lock, { force: true });
      continue;
    }
    if (!told) say(`Waiting for another process that does the same (${name}) …`);
    told = true;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  }
  try {
    return work();
  } finally {
    rmSync(lock, { force: true });
  }
}

function tryWrite(lock) {
  try {
    writeFileSync(lock, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}
