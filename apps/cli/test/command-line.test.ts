import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "@jest/globals";
import type { Command } from "commander";
import { createProgram } from "../src/run.ts";

const folder = mkdtempSync(join(tmpdir(), "sluice flags "));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Result {
  status: number;
  stdout: string;
  stderr: string;
}

const program = fileURLToPath(new URL("../../../sluice", import.meta.url));

function sluice(args: string[], env: Record<string, string> = {}): Promise<Result> {
  const options = { cwd: folder, env: { PATH: process.env.PATH ?? "", SLUICE_DATA_DIR: folder, ...env } };
  return new Promise((resolve) => {
    const child = execFile(program, args, options, (_error, stdout, stderr) =>
      resolve({ status: child.exitCode ?? -1, stdout, stderr }),
    );
  });
}

describe("what is asked wrongly exits 2 and says what is allowed", () => {
  it.concurrent.each([
    [["frobnicate"], "unknown command 'frobnicate'"],
    [["status", "--frob"], "unknown option '--frob'"],
    [["up", "--mqtt-port", "70000"], "from 0 to 65535"],
    [["up", "--http-port", "abc"], "from 0 to 65535"],
    [["up", "--services", "ingest-gateway,nothing"], 'no service "nothing"; there are'],
    [[], "Usage: sluice"],
  ])("%j", async (args, said) => {
    const { status, stdout, stderr } = await sluice(args);
    expect(stderr).toContain(said);
    expect(stdout).toBe("");
    expect(status).toBe(2);
  });

  it.concurrent("names a variable that does not exist and the one that was meant", async () => {
    const { status, stderr } = await sluice(["up"], { SLUICE_MQT_PORT: "1" });
    expect(stderr).toContain(
      "SLUICE_MQT_PORT is not a variable of this system; did you mean SLUICE_MQTT_PORT?",
    );
    expect(status).toBe(2);
  });
});

it.concurrent("explains in one line that nothing runs, and exits 1", async () => {
  const { status, stderr } = await sluice(["status"]);
  expect(stderr).toBe(`sluice: Sluice does not run on ${folder}: start it with ./sluice up\n`);
  expect(status).toBe(1);
  expect((await sluice(["status", "--debug"])).stderr).toContain("at ");
});

it.concurrent("answers --json also when nothing runs", async () => {
  const { status, stdout } = await sluice(["status", "--json", "--data-dir", join(folder, "other")]);
  expect(JSON.parse(stdout)).toMatchObject({ ready: false, running: false, services: [] });
  expect(status).toBe(1);
});

it("gives every command and subcommand a help with an example", () => {
  const look = (command: Command, path: string) => {
    let text = "";
    command.configureOutput({
      writeOut: (part) => {
        text += part;
      },
    });
    command.outputHelp();
    expect([path, text]).toEqual([path, expect.stringMatching(/Examples?:\n\s+\$ /)]);
    expect([path, command.description()]).toEqual([path, expect.stringMatching(/.{10}/)]);
    expect(text).toContain("--data-dir");
    for (const one of command.commands) if (one.name() !== "help") look(one, `${path} ${one.name()}`);
  };
  look(createProgram(), "sluice");
});

it("does not complain when its reader has seen enough", () => {
  const { stderr } = spawnSync("sh", ["-c", `"${program}" --help | true`], { encoding: "utf8" });
  expect(stderr).toBe("");
});
