import { execFileSync } from "node:child_process";
import { existsSync, statfsSync, statSync } from "node:fs";
import { freemem, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { findBinary } from "@sluice/servers";
import { type Finding, fine, problem, warning } from "./finding.ts";

const GIGABYTE = 2 ** 30;
const PROGRAMS = {
  "redis-server": "redis-server",
  postgres: "postgresql",
  influxd: "influxdb",
  mosquitto_pub: "mosquitto-clients",
};

/** Node, installed servers, disk, memory, clock and permissions of this machine. */
export function checkMachine(dataDir: string): Finding[] {
  return [
    checkNode(),
    checkPrograms(),
    checkDisk(dataDir),
    checkMemory(),
    checkClock(),
    ...checkPermissions(dataDir),
  ];
}

function checkNode(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const good = major > 20 || (major === 20 && minor >= 18);
  const found = `version ${process.versions.node}`;
  return good ? fine("node", found) : problem("node", found, "install Node 20.18 or newer");
}

function checkPrograms(): Finding {
  const missing = Object.entries(PROGRAMS).filter(([program]) => findBinary(program) === undefined);
  if (missing.length === 0) return fine("servers installed", Object.keys(PROGRAMS).join(", "));
  const packages = missing.map(([, name]) => name).join(" ");
  const names = missing.map(([program]) => program).join(", ");
  const mend = `apt-get install -y --no-install-recommends ${packages}; not needed where outside servers are used`;
  return warning("servers installed", `missing: ${names}`, mend);
}

/** A folder that is not made yet is judged by the nearest one above it. */
function checkDisk(dataDir: string): Finding {
  let folder = dataDir;
  while (!existsSync(folder)) folder = dirname(folder);
  const { bavail, blocks, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  const found = `${(free / GIGABYTE).toFixed(1)} GB free of ${((blocks * bsize) / GIGABYTE).toFixed(1)} GB at ${folder}`;
  const mend =
    "make room, or move the data folder (--data-dir) to a larger disk: a full disk stops acknowledging";
  if (free < GIGABYTE) return problem("disk", found, mend);
  return free < 5 * GIGABYTE || bavail < blocks * 0.05 ? warning("disk", found, mend) : fine("disk", found);
}

function checkMemory(): Finding {
  const found = `${(totalmem() / GIGABYTE).toFixed(1)} GB, ${(freemem() / GIGABYTE).toFixed(1)} GB unused`;
  if (totalmem() >= 1.5 * GIGABYTE) return fine("memory", found);
  return warning("memory", found, "lower SLUICE_REDIS_MAXMEMORY (default 1gb) below a third of the memory");
}

function checkClock(): Finding {
  const now = new Date();
  const mend = "set the clock (timedatectl set-ntp true): times of devices are judged by it";
  if (now.getUTCFullYear() < 2025) return problem("clock", now.toISOString(), mend);
  const synchronised = askTimedatectl();
  if (synchronised === "no") return warning("clock", `${now.toISOString()}, not synchronised`, mend);
  return fine("clock", `${now.toISOString()}${synchronised === "yes" ? ", synchronised" : ""}`);
}

function askTimedatectl(): string | undefined {
  try {
    return execFileSync("timedatectl", ["show", "-p", "NTPSynchronized", "--value"], {
      encoding: "utf8",
      timeout: 2_000,
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    // Not a machine with systemd: nobody to ask.
    return undefined;
  }
}

function checkPermissions(dataDir: string): Finding[] {
  if (!existsSync(dataDir)) return [fine("data folder", `${dataDir} is made at the first start`)];
  const findings: Finding[] = [];
  for (const path of [dataDir, join(dataDir, "secrets.json"), join(dataDir, "state.json")]) {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) continue;
    const mode = (stat.mode & 0o777).toString(8);
    if ((stat.mode & 0o077) !== 0) {
      findings.push(
        problem("permissions", `${path} has mode ${mode}: others can read it`, `chmod go-rwx '${path}'`),
      );
    } else if (stat.uid !== process.getuid?.() && process.getuid?.() !== 0) {
      findings.push(
        problem("permissions", `${path} belongs to another user`, `chown -R $(id -un) '${dataDir}'`),
      );
    }
  }
  return findings.length > 0 ? findings : [fine("permissions", `${dataDir} is closed to others`)];
}
