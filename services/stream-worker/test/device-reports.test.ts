import { afterAll, beforeAll, expect, test } from "@jest/globals";
import {
  createCommand,
  createDevice,
  getCommand,
  getDeviceConfig,
  putDeviceConfig,
  takeCommands,
} from "@sluice/db";
import { usePostgres, useRedis } from "@sluice/testkit";
import { entry, message, type OpenWorker, openStore } from "./open-worker.ts";

const postgres = usePostgres();
const redis = useRedis();
let worker: OpenWorker & { close(): Promise<void> };
beforeAll(async () => {
  worker = await openStore(postgres.url, redis.url);
  await createDevice(worker.db, "pepper of the tests", { id: "d1" });
});
afterAll(() => worker?.close());

const sent = async (payload: object = {}) => {
  const command = await createCommand(worker.db, { device: "d1", type: "led", payload, source: "api" });
  await takeCommands(worker.db, [command.id], "g");
  return command;
};
const say = (payload: object, more: object = {}) =>
  worker.store.handle([entry([message({ device: "d1", kind: "result", type: "led", ...more }, payload)])]);

test.each([
  [{ status: "done" }, "executed", null],
  [{ status: "failed", error: "no power" }, "failed", "no power"],
  [{ ok: false }, "failed", null],
])("what a device says (%j) is stored and ends its command", async (said, status, error) => {
  const { id, wireId } = await sent();
  const [outcome] = await say({ id: wireId, ...said }, { timeUs: 1_770_000_000_000_000 + id });
  expect(outcome?.stored).toBe(1);
  expect(await getCommand(worker.db, id)).toMatchObject({ status, error, result: said });
});

test("a command is found by the command_id that its payload had; a result of none changes nothing", async () => {
  const { id } = await sent({ command_id: "cmd_12345" });
  await say({ command_id: "cmd_0", status: "done" });
  await say({ status: "done" });
  expect((await getCommand(worker.db, id)).status).toBe("sent");
  await say({ command_id: "cmd_12345", status: "done" });
  expect((await getCommand(worker.db, id)).status).toBe("executed");
});

test("the version a device reports is noted, and an older word does not replace it", async () => {
  await putDeviceConfig(worker.db, "d1", { a: 1 }, { merge: false });
  const report = (version: number, receivedUs: number) =>
    say({ version }, { kind: "status", type: "config", timeUs: receivedUs, receivedUs });
  await report(1, 1_770_000_000_000_000);
  await report(0, 1_760_000_000_000_000);
  expect(await getDeviceConfig(worker.db, "d1")).toMatchObject({ version: 1, reportedVersion: 1 });
});
