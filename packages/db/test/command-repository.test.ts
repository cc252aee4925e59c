import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { usePostgres } from "@sluice/testkit";
import {
  cancelCommand,
  createCommand,
  createDevice,
  createFleetCommand,
  type Db,
  expireCommands,
  getCommand,
  listCommands,
  listPendingCommands,
  noteDelivered,
  noteResults,
  openDb,
  purgeCommands,
  putFleetGroup,
  takeCommands,
} from "../src/index.ts";

describe("commands to devices", () => {
  const database = usePostgres();
  let db: Db;
  beforeAll(async () => {
    db = await openDb(database.url, { max: 8 });
    for (const id of ["pump_1", "pump_2", "lamp_1"]) await createDevice(db, "pepper of the tests", { id });
  });
  afterAll(() => db?.close());
  const make = (more: object = {}) =>
    createCommand(db, { device: "pump_1", type: "led", payload: { on: true }, source: "api", ...more });

  test("a command is taken by exactly one of many gateways, and its way is told", async () => {
    const { id, wireId, status } = await make();
    expect([wireId, status]).toEqual([String(id), "pending"]);
    expect((await listPendingCommands(db, ["pump_1"], 10)).map((c) => c.id)).toEqual([id]);
    const gateways = Array.from({ length: 8 }, (_, i) => `gateway ${i}`);
    const taken = await Promise.all(gateways.map((gateway) => takeCommands(db, [id], gateway)));
    expect(taken.flat()).toEqual([id]);
    await noteDelivered(db, [id]);
    expect((await getCommand(db, id)).status).toBe("delivered");
    await noteResults(db, [{ device: "lamp_1", wireId, ok: true, result: "not mine", error: undefined }]);
    expect((await getCommand(db, id)).status).toBe("delivered");
    await noteResults(db, [{ device: "pump_1", wireId, ok: true, result: { on: true }, error: undefined }]);
    await noteResults(db, [{ device: "pump_1", wireId, ok: false, result: null, error: "again" }]);
    expect(await getCommand(db, id)).toMatchObject({ status: "executed", result: { on: true }, error: null });
  });

  test("one that expired or was cancelled is never taken", async () => {
    const late = await make({ lifeMs: 0 });
    const cancelled = await make();
    expect(await cancelCommand(db, cancelled.id)).toBe(true);
    expect(await takeCommands(db, [late.id, cancelled.id], "g")).toEqual([]);
    expect(await expireCommands(db)).toBe(1);
    expect((await getCommand(db, late.id)).status).toBe("timeout");
    expect(await cancelCommand(db, late.id)).toBe(false);
  });

  test("the same key is the same command", async () => {
    const [a, b] = [await make({ dedupeKey: "alert 7" }), await make({ dedupeKey: "alert 7" })];
    expect(b.id).toBe(a.id);
    await expect(make({ device: "nobody" })).rejects.toThrow("no device 'nobody'");
  });

  test("a fleet command has a part for each member, and each is answered for itself", async () => {
    await putFleetGroup(db, { name: "pumps", description: null, devices: ["pump_1", "pump_2"] });
    const parts = await createFleetCommand(db, { group: "pumps", type: "stop", payload: {}, source: "cli" });
    expect(parts.map(({ device }) => device).sort()).toEqual(["pump_1", "pump_2"]);
    const [wireId] = new Set(parts.map((part) => part.wireId));
    expect(wireId).toMatch(/^fleet-\d+$/);
    await takeCommands(
      db,
      parts.map(({ id }) => id),
      "g",
    );
    await noteResults(db, [
      { device: "pump_2", wireId: wireId ?? "", ok: false, result: null, error: "no water" },
    ]);
    const states = await listCommands(db, { group: "pumps" }, 10);
    expect(Object.fromEntries(states.map(({ device, status }) => [device, status]))).toEqual({
      pump_1: "sent",
      pump_2: "failed",
    });
    expect(
      await createFleetCommand(db, { group: "all", type: "x", payload: {}, source: "api" }),
    ).toHaveLength(3);
    await expect(
      createFleetCommand(db, { group: "none", type: "x", payload: {}, source: "api" }),
    ).rejects.toThrow("no group 'none'");
  });

  test("what is over for longer than its retention goes, what is open or young stays", async () => {
    await putFleetGroup(db, { name: "old", description: null, devices: ["lamp_1"] });
    const [part] = await createFleetCommand(db, { group: "old", type: "led", payload: {}, source: "api" });
    const [over, open, young] = [await make(), await make(), await make()];
    await db.execute(
      `UPDATE iot.device_commands SET status = CASE WHEN id = $1 THEN 'pending' ELSE 'executed' END,
              issued_at = now() - INTERVAL '366 days', expires_at = now() - INTERVAL '365 days'
        WHERE id = ANY ($2::int8[])`,
      [open.id, [over.id, open.id, part?.id]],
    );
    await db.execute("UPDATE iot.fleet_commands SET issued_at = now() - INTERVAL '366 days'");
    const listFleet = () => db.query("SELECT id FROM iot.fleet_commands WHERE group_name = 'old'");
    expect(await listFleet()).toHaveLength(1);
    expect(await purgeCommands(db)).toBe(2);
    await expect(getCommand(db, over.id)).rejects.toThrow();
    expect((await getCommand(db, open.id)).status).toBe("pending");
    expect((await getCommand(db, young.id)).status).toBe("pending");
    expect(await listFleet()).toEqual([]);
    await db.execute(
      "UPDATE audit.data_retention SET is_active = false WHERE table_name = 'device_commands'",
    );
    expect(await purgeCommands(db)).toBe(0);
  });
});
