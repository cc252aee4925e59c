import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { afterAll, describe, expect, test } from "@jest/globals";
import { SERVICE_ROLES } from "@sluice/db";
import { findBinary } from "@sluice/servers";
import { accessOf } from "../../../apps/cli/src/up/service-accounts.ts";

const ROOT = join(import.meta.dirname, "../../..");
const UNITS = join(ROOT, "deploy/systemd");
const root = mkdtempSync(join(tmpdir(), "sluice systemd "));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const unitFiles = readdirSync(UNITS).filter((name) => /\.(service|timer|target)$/.test(name));
const listed = readFileSync(join(UNITS, "units"), "utf8")
  .split("\n")
  .filter((line) => /^[a-z]/.test(line));

describe("the units", () => {
  test("every service of services/ has one, and everything listed is there or comes with the system", () => {
    const services = readdirSync(join(ROOT, "services")).filter((name) =>
      existsSync(join(ROOT, "services", name, "package.json")),
    );
    for (const name of services) expect(unitFiles).toContain(`sluice-${name}.service`);
    const foreign = listed.filter((name) => !unitFiles.includes(name));
    expect(foreign).toEqual(["redis-server.service", "postgresql.service"]);
    for (const name of listed.filter((one) => unitFiles.includes(one)))
      expect(readFileSync(join(UNITS, name), "utf8")).toMatch(/WantedBy=(multi-user|timers)\.target/);
  });

  // Not everywhere is systemd; the units are the same everywhere.
  const analyze = findBinary("systemd-analyze");
  (analyze ? test : test.skip)("systemd-analyze verify finds nothing to complain about", () => {
    const folder = join(root, "units").replaceAll(" ", "-");
    cpSync(UNITS, folder, { recursive: true });
    mkdirSync(join(folder, "programs"));
    for (const name of unitFiles) {
      // The programs are of this machine; whether those of a real one exist is not what is asked.
      const text = readFileSync(join(folder, name), "utf8").replaceAll(
        /^(ExecStart|ExecStop)=\S+/gm,
        "$1=/bin/true",
      );
      writeFileSync(join(folder, name), text);
    }
    const result = spawnSync(
      analyze ?? "",
      ["verify", "--man=no", "--recursive-errors=no", ...unitFiles.map((name) => join(folder, name))],
      { encoding: "utf8", env: { ...process.env, SYSTEMD_UNIT_PATH: `${folder}:` } },
    );
    rmSync(folder, { recursive: true });
    const said = result.stderr
      .split("\n")
      .filter((line) => line.includes("sluice") || line.includes("can-setup"));
    expect(said).toEqual([]);
    expect(result.status).toBe(0);
  });
});

/** A systemctl that keeps what is enabled as files; `broken.service` refuses, `unknown.service` is not there. */
const SYSTEMCTL = `#!/bin/sh
state=$FAKE_STATE
case $1 in
  is-enabled) [ "$2" = --quiet ] && shift; [ -e "$state/$2" ] && echo enabled || { echo disabled; exit 1; } ;;
  enable) [ "$2" = broken.service ] && { echo "Failed to enable unit: access denied" >&2; exit 1; }; touch "$state/$2" ;;
  start) echo "$2" >> "$state/.started" ;;
  show) echo "Environment=" ;;
esac
`;

function fakeSystem(): { env: NodeJS.ProcessEnv; state: string } {
  const state = mkdtempSync(join(root, "state "));
  const bin = mkdtempSync(join(root, "bin "));
  writeFileSync(join(bin, "systemctl"), SYSTEMCTL);
  chmodSync(join(bin, "systemctl"), 0o755);
  // Nor shall a test make users.
  writeFileSync(join(bin, "systemd-sysusers"), "#!/bin/sh\n", { mode: 0o755 });
  return { env: { ...process.env, PATH: `${bin}:${process.env.PATH}`, FAKE_STATE: state }, state };
}

describe("the scripts", () => {
  test("enable-autostart says what was enabled, what is now, and what failed and why", () => {
    const { env, state } = fakeSystem();
    writeFileSync(join(state, "redis-server.service"), "");
    const units = ["redis-server.service", "sluice-api.service", "broken.service"];
    const result = spawnSync(join(UNITS, "enable-autostart"), units, { env, encoding: "utf8" });
    expect(result.status).toBe(1);
    expect(result.stdout).toContain("Already enabled (1)\n  redis-server.service");
    expect(result.stdout).toContain("Newly enabled (1)\n  sluice-api.service");
    expect(result.stdout).toContain("Failed (1)\n  broken.service: Failed to enable unit: access denied");
    const again = execFileSync(join(UNITS, "enable-autostart"), units.slice(0, 2), { env, encoding: "utf8" });
    expect(again).toContain("Already enabled (2)");
  });

  test("install copies the units and makes secrets for their owner alone, once", () => {
    const { env } = fakeSystem();
    const where = {
      SLUICE_UNIT_DIR: join(root, "installed units"),
      SLUICE_ETC_DIR: join(root, "installed etc"),
    };
    const install = () => {
      const result = spawnSync(join(UNITS, "install"), { env: { ...env, ...where }, encoding: "utf8" });
      expect([result.status, result.stderr]).toEqual([0, ""]);
    };
    install();
    expect(readdirSync(where.SLUICE_UNIT_DIR)).toEqual(expect.arrayContaining(unitFiles));
    const common = join(where.SLUICE_ETC_DIR, "sluice.env");
    const made = readFileSync(common, "utf8");
    expect(made).toMatch(/^REDIS_URL=redis:\/\/:[0-9a-f]{48}@127/m);
    expect(statSync(common).mode & 0o077).toBe(0);
    const settings = (name: string) =>
      parseEnv(readFileSync(join(where.SLUICE_ETC_DIR, `${name}.env`), "utf8"));
    const passwords = settings("roles").SLUICE_ROLE_PASSWORDS?.split(",") ?? [];
    expect(passwords).toHaveLength(SERVICE_ROLES.length + 1);
    for (const name of readdirSync(join(ROOT, "services"))) {
      const { username, password } = new URL(settings(name).DATABASE_URL ?? "");
      expect([name, username]).toEqual([name, accessOf(name).postgres]);
      expect(passwords).toContain(`${username}=${password}`);
    }
    install();
    expect(readFileSync(common, "utf8")).toBe(made);
  });

  test("start-all starts nothing more where the schema is not right, and everything in order where it is", () => {
    const { env, state } = fakeSystem();
    const etc = mkdtempSync(join(root, "etc "));
    writeFileSync(join(etc, "owner.env"), "DATABASE_URL=postgres://127.0.0.1/x\n");
    const run = (check: string) => {
      const command = join(etc, "sluice");
      writeFileSync(command, `#!/bin/sh\n${check}\n`);
      chmodSync(command, 0o755);
      const more = { SLUICE_COMMAND: command, SLUICE_ETC_DIR: etc };
      return spawnSync(join(UNITS, "start-all"), { env: { ...env, ...more }, encoding: "utf8" });
    };
    const wrong = run("echo missing: 003-measurement; exit 1");
    expect(wrong.status).toBe(1);
    expect(wrong.stdout).toContain("FAILED   schema: missing: 003-measurement");
    const started = () => readFileSync(join(state, ".started"), "utf8").trim().split("\n");
    expect(started()).toEqual(listed.slice(0, 3));
    rmSync(join(state, ".started"));
    const right = run('[ "$DATABASE_URL" = postgres://127.0.0.1/x ] && echo The database is up to date.');
    expect(right.stdout).toContain("verified the schema: The database is up to date.");
    expect(right.status).toBe(0);
    expect(started()).toEqual(listed);
  });
});
