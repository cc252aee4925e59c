import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A small file system of its own, that can be filled and robbed of its power. */
export interface Disk {
  readonly dir: string;
  /** Leaves only `leaveBytes` free. */
  fill(leaveBytes: number): void;
  /** Gives back what {@link Disk.fill} took. */
  free(): void;
  /**
   * What a power cut leaves: whoever writes has to be stopped (SIGSTOP). Copies the image, which has only what was
   * flushed to it, not what still waits in the file system's memory; `end` kills the writers; then the copy takes the
   * image's place.
   */
  cutPower(end: () => Promise<void>): Promise<void>;
  close(): void;
}

function run(program: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${stderr || String(error)}`);
}

let mountable: string | undefined | false = false;

/** Why this machine cannot have disks of its own; undefined where it can. */
export function whyNoDisks(): string | undefined {
  if (mountable === false) {
    try {
      openDisk({ megabytes: 16, kind: "ext4" }).close();
      openDisk({ megabytes: 1, kind: "tmpfs" }).close();
      mountable = undefined;
    } catch (error) {
      mountable = `mounting a file system needs root and loop devices (${String(error).slice(0, 100)})`;
    }
  }
  return mountable;
}

/** Makes and mounts a file system; at `dir` if given. The caller closes it. */
export function openDisk(options: {
  megabytes: number;
  kind: "ext4" | "tmpfs";
  dir?: string;
  inodes?: number;
}): Disk {
  const { megabytes, kind } = options;
  const place = mkdtempSync(join(tmpdir(), "sluice-disk-"));
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), "sluice-mount-"));
  let image = join(place, "image-0");
  let cuts = 0;
  // The journal is written when somebody asks for it, not because five seconds have passed.
  const mount = () => run("mount", "-o", "loop,commit=300", image, dir);
  const unmount = () => {
    for (let attempt = 1; ; attempt++) {
      if (spawnSync("umount", [dir]).status === 0) return;
      if (attempt === 50) return run("umount", "-l", dir);
      spawnSync("sleep", ["0.1"]);
    }
  };
  if (kind === "tmpfs")
    run("mount", "-t", "tmpfs", "-o", `size=${megabytes}m,nr_inodes=${options.inodes ?? 1000}`, "tmpfs", dir);
  else {
    closeSync(openSync(image, "w"));
    truncateSync(image, megabytes * 2 ** 20);
    run("mkfs.ext4", "-q", "-m", "0", image);
    mount();
  }
  const filler = join(dir, "filler");
  return {
    dir,
    fill(leaveBytes) {
      const file = openSync(filler, "a");
      try {
        const { bavail, bsize } = statfsSync(dir);
        let left = bavail * bsize - leaveBytes;
        for (; left > 0; left -= 65_536) writeSync(file, Buffer.alloc(Math.min(left, 65_536), 1));
      } catch {
        // full is what was asked for
      } finally {
        closeSync(file);
      }
    },
    free: () => rmSync(filler, { force: true }),
    async cutPower(end) {
      const copy = join(place, `image-${++cuts}`);
      run("cp", "--sparse=always", image, copy);
      await end();
      unmount();
      rmSync(image);
      image = copy;
      mount();
    },
    close() {
      if (existsSync(dir)) unmount();
      rmSync(place, { recursive: true, force: true });
      if (options.dir === undefined) rmSync(dir, { recursive: true, force: true });
    },
  };
}
