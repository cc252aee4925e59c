import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll } from "@jest/globals";
import { type Db, openDb } from "@sluice/db";
import { type Installation, startInstallation } from "@sluice/testkit";

/** The command, as a user calls it. */
export const SLUICE = resolve(import.meta.dirname, "../../../sluice");

/** How a command ended. */
export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** An installation with gateway and worker that commands are tried on, for the tests of one file. */
export function useCommandLine() {
  const it = {} as { installation: Installation; db: Db; dir: string };
  beforeAll(async () => {
    it.dir = await mkdtemp(join(tmpdir(), "sluice cli-"));
    it.installation = await startInstallation({ services: ["ingest-gateway", "stream-worker"] });
    it.db = await openDb(it.installation.urls().postgresUrl, { max: 2 });
  });
  afterAll(async () => {
    await it.db?.close();
    await it.installation?.stop();
    await rm(it.dir, { recursive: true, force: true });
  });

  const sluice = (args: readonly string[], env: Record<string, string> = {}): Promise<Ended> =>
    new Promise((done) => {
      execFile(
        SLUICE,
        [...args, "--data-dir", it.installation.dataDir],
        { cwd: it.dir, env: { ...process.env, ...env }, maxBuffer: 1 << 26 },
        (error, stdout, stderr) =>
          done({ code: typeof error?.code === "number" ? error.code : error ? -1 : 0, stdout, stderr }),
      );
    });
  const json = async <T>(...args: string[]): Promise<T> => {
    const { stdout, stderr, code } = await sluice([...args, "--json"]);
    if (stdout === "") throw new Error(`sluice ${args.join(" ")} ended with ${code}: ${stderr}`);
    return JSON.parse(stdout) as T;
  };
  return {
    it,
    sluice,
    /** What a command prints with `--json`. */
    json,
    /** Registers a device; gives the variable that `publish` takes its secret from. */
    addDevice: async (id: string): Promise<Record<string, string>> => {
      const { password } = await json<{ password: string }>("devices", "add", id);
      return { SLUICE_DEVICE_PASSWORD: password };
    },
    /** Readings of a device, the oldest first. */
    ofDevice: (id: string) =>
      it.db.query<{ field: string; time: Date; value: number }>(
        `SELECT s.sensor_code AS field, m.time, m.value FROM measurement m JOIN iot.sensors s ON s.id = m.sensor_id
           JOIN iot.devices d ON d.id = s.device_id WHERE d.device_code = $1 ORDER BY m.time, s.sensor_code`,
        [id],
      ),
  };
}
