import { afterAll, beforeAll, expect, test } from "@jest/globals";
import {
  createDevice,
  type Db,
  disableDevice,
  enableDevice,
  getDevice,
  hashSecret,
  listCredentials,
  listDevices,
  listen,
  openDb,
  removeDevice,
  rotateDevice,
} from "@sluice/db";
import { usePostgres, waitFor } from "@sluice/testkit";

const PEPPER = "a pepper of the tests";
const postgres = usePostgres();
let db: Db;
beforeAll(async () => {
  db = await openDb(postgres.url);
});
afterAll(() => db?.close());

const credentialOf = async (id: string) =>
  (await listCredentials(db)).find(({ devices }) => devices.includes(id));

test("a new device gets secrets that are stored only as hashes", async () => {
  const fresh = await createDevice(db, PEPPER, { id: "a", type: "water", location: "shed", ackStored: true });
  expect(fresh).toMatchObject({ id: "a", username: "dev_a" });
  expect(fresh.password).toMatch(/^[A-Za-z0-9]{22,}$/);
  expect(fresh.apiKey).toMatch(/^slk_[A-Za-z0-9]{32}$/);
  expect(await credentialOf("a")).toEqual({
    username: "dev_a",
    passwordHash: hashSecret(PEPPER, fresh.password),
    apiKeyHash: hashSecret(PEPPER, fresh.apiKey),
    previous: [],
    devices: ["a"],
    status: "active",
    ackStored: true,
    timeZone: "UTC",
  });
  const [dump] = await db.query<{ all: string }>(
    `SELECT (SELECT string_agg(c::text, '') FROM iot.credentials c) || (SELECT string_agg(d::text, '') FROM iot.devices d)
         || (SELECT string_agg(e::text, '') FROM audit.events e) AS all`,
  );
  expect(dump?.all).not.toContain(fresh.password);
  expect(dump?.all).not.toContain(fresh.apiKey.slice(4));
});

test("a second device of the same id is refused, also when both are made at once", async () => {
  const made = await Promise.allSettled([1, 2, 3].map(() => createDevice(db, PEPPER, { id: "twice" })));
  expect(made.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  await expect(createDevice(db, PEPPER, { id: "twice" })).rejects.toThrow("device 'twice' already exists");
  await expect(createDevice(db, PEPPER, { id: "no spaces" })).rejects.toMatchObject({
    code: "bad_device_id",
  });
});

test("a device that registered itself by sending is taken over with its history", async () => {
  await db.query("INSERT INTO iot.devices (device_code) VALUES ('selfmade')");
  expect(await getDevice(db, "selfmade")).toMatchObject({ access: "none" });
  await createDevice(db, PEPPER, { id: "selfmade", name: "named" });
  expect(await getDevice(db, "selfmade")).toMatchObject({ access: "active", name: "named" });
});

test("after a rotation the old secrets are good for the overlap, and only that long", async () => {
  const old = await createDevice(db, PEPPER, { id: "r" });
  const fresh = await rotateDevice(db, PEPPER, "r", { overlapMs: 60_000 });
  const credential = await credentialOf("r");
  expect(credential?.passwordHash).toBe(hashSecret(PEPPER, fresh.password));
  expect(credential?.previous.map(({ hash }) => hash)).toEqual([
    hashSecret(PEPPER, old.password),
    hashSecret(PEPPER, old.apiKey),
  ]);
  expect(credential?.previous[0]?.validUntilMs).toBeGreaterThan(Date.now() + 50_000);
  await rotateDevice(db, PEPPER, "r", { overlapMs: 0 });
  expect((await credentialOf("r"))?.previous.map(({ hash }) => hash)).not.toContain(
    hashSecret(PEPPER, fresh.password),
  );
});

test("disabling, enabling and removing are told to whoever listens, after the commit", async () => {
  const told: (string | undefined)[] = [];
  const listener = await listen(db, "sluice_credentials", (payload) => told.push(payload));
  try {
    await createDevice(db, PEPPER, { id: "l" });
    await disableDevice(db, "l");
    expect((await credentialOf("l"))?.status).toBe("disabled");
    await enableDevice(db, "l");
    await removeDevice(db, "l");
    await waitFor(async () => told.length >= 4);
    expect(told).toEqual(["dev_l", "dev_l", "dev_l", "dev_l"]);
    expect(await credentialOf("l")).toBeUndefined();
  } finally {
    await listener.close();
  }
});

test("a listener whose connection is cut listens again and says that it may have missed something", async () => {
  const told: (string | undefined)[] = [];
  const listener = await listen(db, "cut", (payload) => told.push(payload));
  try {
    await db.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN \"cut\"%'",
    );
    await waitFor(async () => told.length > 0);
    await listener.ping();
    await db.query("SELECT pg_notify('cut', 'x')");
    await waitFor(async () => told.includes("x"));
    expect(told).toEqual([undefined, "x"]);
  } finally {
    await listener.close();
  }
});

test("a removed device with data keeps its row and name; one without is forgotten; both can be made again", async () => {
  for (const id of ["keep", "drop"]) await createDevice(db, PEPPER, { id });
  await db.query(
    "INSERT INTO iot.sensors (device_id, sensor_code) SELECT id, 't' FROM iot.devices WHERE device_code = 'keep'",
  );
  for (const id of ["keep", "drop"]) await removeDevice(db, id);
  const left = await db.query("SELECT device_code FROM iot.devices WHERE device_code IN ('keep', 'drop')");
  expect(left).toEqual([{ device_code: "keep" }]);
  expect((await listDevices(db)).map(({ id }) => id)).not.toContain("keep");
  await expect(removeDevice(db, "keep")).rejects.toThrow("no device 'keep'");
  for (const id of ["keep", "drop"]) await createDevice(db, PEPPER, { id });
  expect(await getDevice(db, "keep")).toMatchObject({ sensors: 1, access: "active" });
});
