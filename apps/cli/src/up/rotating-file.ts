import { closeSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";

/** A log file that keeps its last two parts. */
export interface RotatingFile {
  write(text: string): void;
  close(): void;
}

/**
 * Opens `<name>.log` in a folder for appending; at `maxBytes` it becomes `<name>.log.1` and a new one begins. What
 * cannot be written (a full disk) is dropped: a log must not stop the services.
 */
export function openRotatingFile(folder: string, name: string, maxBytes = 20 * 1024 * 1024): RotatingFile {
  const path = join(folder, `${name}.log`);
  let file: number | undefined;
  let bytes = 0;
  const open = () => {
    mkdirSync(folder, { recursive: true });
    file = openSync(path, "a", 0o600);
    bytes = fstatSync(file).size;
  };
  const close = () => {
    if (file !== undefined) closeSync(file);
    file = undefined;
  };
  return {
    write(text) {
      try {
        if (file === undefined) open();
        if (bytes >= maxBytes) {
          close();
          renameSync(path, `${path}.1`);
          open();
        }
        if (file !== undefined) bytes += writeSync(file, text);
      } catch {
        close();
      }
    },
    close,
  };
}
