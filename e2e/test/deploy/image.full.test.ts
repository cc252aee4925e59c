import { execFileSync, spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { openDb } from "@sluice/db";
import { freePort } from "@sluice/servers";
import { usePrivatePostgres, useRedis, waitFor } from "@sluice/testkit";
import { makeEnv, readComposeEnvironments } from "../../src/deploy/compose-environment.ts";

const ROOT = join(import.meta.dirname, "../../..");
const root = mkdtempSync(join(tmpdir(), "sluice image "));
const build = join(root, "build");
const app = join(root, "app");
const stages = readFileSync(join(ROOT, "Dockerfile"), "utf8").split(/^FROM /m);
const lines = (stage: string, verb: string) =>
  [...stage.matchAll(new RegExp(`^${verb} (.*)$`, "gm"))].map(([, rest]) => rest ?? "");

const redis = useRedis({ appendfsync: "always" });
const postgres = usePrivatePostgres({ settings: { fsync: "off" }, empty: true });

/** The steps of the Dockerfile, in two folders instead of two stages. */
beforeAll(() => {
  const ignored = new Set(["docs", "firmware"]);
  const files = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "-z"], {
    cwd: ROOT,
    encoding: "utf8",
  }).split("\0");
  for (const file of files.filter((one) => one !== "" && !ignored.has(one.split("/")[0] ?? ""))) {
    if (!existsSync(join(ROOT, file))) continue;
    mkdirSync(dirname(join(build, file)), { recursive: true });
    cpSync(join(ROOT, file), join(build, file));
  }
  const env = { ...process.env, CI: "true", NODE_OPTIONS: "" };
  for (const step of lines(stages[1] ?? "", "RUN").filter((one) => !one.startsWith("npm install --global"))) {
    const result = spawnSync("sh", ["-c", step], { cwd: build, env, encoding: "utf8" });
    if (result.status !== 0)
      throw new Error(`${step}:\n${result.stdout.slice(-3000)}\n${result.stderr.slice(-3000)}`);
  }
  mkdirSync(app);
  for (const copy of lines(stages[2] ?? "", "COPY")) {
    const words = copy.replace("--from=build ", "").replaceAll("/app/", "").split(" ");
    const target = words.pop() ?? "";
    for (const word of words)
      cpSync(join(build, word), join(app, target === "./" ? word : target), {
        recursive: true,
        verbatimSymlinks: true,
      });
  }
}, 900_000);

afterAll(() => rmSync(root, { recursive: true, force: true }));

const run = (service: string, env: NodeJS.ProcessEnv) =>
  spawn("node", [join(app, service, "dist/main.js")], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });

test("the image has no source, no test and no development package", () => {
  expect(existsSync(join(app, "packages/db/migrations"))).toBe(true);
  expect(existsSync(join(app, "apps/console/dist/index.html"))).toBe(true);
  expect(existsSync(join(app, "packages/bus/src"))).toBe(false);
  const installed = readdirSync(join(app, "node_modules/.pnpm"));
  expect(
    installed.filter((name) => /^(typescript|jest|@swc|vite|kubernetes-models|knip)@/.test(name)),
  ).toEqual([]);
});

test("every service starts from it, and says what it misses", async () => {
  for (const name of readdirSync(join(app, "services"))) {
    const child = run(`services/${name}`, {});
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    const code = await new Promise((resolve) => child.once("close", resolve));
    expect([name, code, said]).toEqual([name, 2, expect.stringContaining("_URL is missing")]);
  }
});

test("migrate makes roles and tables, and a worker runs as its role, told what docker-compose.yml tells them", async () => {
  const environments = readComposeEnvironments(makeEnv(root).settings);
  const told = (service: string): Record<string, string> => {
    const env: Record<string, string> = { ...environments.get(service), SLUICE_ALLOW_UNSAFE: "true" };
    for (const name of ["DATABASE_URL", "DATABASE_ADMIN_URL"] as const) {
      const url = new URL(env[name] ?? postgres.url);
      const { host, pathname, username, password } = new URL(postgres.url);
      Object.assign(url, { host, pathname }, name === "DATABASE_ADMIN_URL" ? { username, password } : {});
      env[name] = url.href;
    }
    return { ...env, REDIS_URL: redis.url };
  };
  const migrate = () =>
    execFileSync("node", [join(app, "apps/cli/dist/main.js"), "migrate"], {
      env: { PATH: process.env.PATH, ...told("migrate") },
      encoding: "utf8",
    });
  expect(migrate()).toContain("applied 001-core");
  expect(migrate()).toContain("up to date");
  const port = await freePort();
  const worker = run("services/stream-worker", { ...told("stream-worker"), SLUICE_OPS_PORT: `${port}` });
  const ended = new Promise((resolve) => worker.once("close", resolve));
  await waitFor(async () => (await fetch(`http://127.0.0.1:${port}/ready`)).ok, {
    timeoutMs: 30_000,
    what: "/ready",
  });
  const db = await openDb(told("migrate").DATABASE_ADMIN_URL ?? "", { max: 1 });
  const roles = await db.query<{ usename: string }>(
    "SELECT DISTINCT usename::text FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
  );
  await db.close();
  expect(roles).toEqual([{ usename: "sluice_worker" }]);
  worker.kill("SIGTERM");
  expect(await ended).toBe(0);
});
