import { readFileSync } from "node:fs";

/** A user of this machine. */
export interface SystemUser {
  name: string;
  uid: number;
  gid: number;
}

/** Whether this process runs as root. */
export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** Looks a user up in /etc/passwd; throws when there is none of that name. */
export function getUser(name: string): SystemUser {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((entry) => entry.startsWith(`${name}:`));
  const [, , uid, gid] = line?.split(":") ?? [];
  if (uid === undefined || gid === undefined) {
    throw new Error(
      `PostgreSQL refuses to run as root and there is no system user "${name}": apt-get install postgresql`,
    );
  }
  return { name, uid: Number(uid), gid: Number(gid) };
}
