// Offers one PostgreSQL to all test files of a run; it starts when the first one asks for it.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("../packages/testkit/src/serve-postgres.ts", import.meta.url));

export default async function setUp() {
  const child = spawn(process.execPath, ["--conditions=source", "--import", "tsx", program], {
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    env: { ...process.env, NODE_OPTIONS: "" },
    stdio: ["pipe", "pipe", "inherit"],
    // A Ctrl-C at jest must not end it before the tests that use it.
    detached: true,
  });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const address = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", resolve);
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`serve-postgres ended with ${code}`)));
  });
  process.env.TEST_POSTGRES_FRONT = address;
  globalThis.stopSharedPostgres = () => {
    child.stdin.end();
    return ended;
  };
}
