import { afterEach, expect, test } from "@jest/globals";
import { type Db, openDb } from "@sluice/db";
import { patience, startProxy, usePostgres } from "@sluice/testkit";
import { type DeviceDirectory, openDeviceDirectory } from "../src/device-tags.ts";

const postgres = usePostgres();
const log = { warn() {} };
let opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
  opened = [];
});

function open(url: string | undefined): DeviceDirectory {
  const directory = openDeviceDirectory(url, log);
  opened.push(directory);
  return directory;
}

async function addDevices(...ids: string[]): Promise<Db> {
  const db = await openDb(postgres.url);
  opened.push(db);
  await db.query(
    "INSERT INTO iot.devices (device_code, device_type) SELECT unnest($1::text[]), 'hydroponics'",
    [ids],
  );
  return db;
}

test("questions asked at once are all answered, also while another is under way", async () => {
  await addDevices("a", "b");
  const directory = open(postgres.url);
  const [a, b, both] = await Promise.all([
    directory.find(["a"]),
    directory.find(["b"]),
    directory.find(["a", "b", "nobody"]),
  ]);
  expect(a.get("a")).toEqual({ device_type: "hydroponics" });
  expect(b.get("b")).toEqual({ device_type: "hydroponics" });
  expect([...both.values()].map((tags) => tags.device_type)).toEqual(["hydroponics", "hydroponics", "esp32"]);
});

test("a device nobody knows has the type it will have once it has registered itself", async () => {
  const found = await open(undefined).find(["x"]);
  expect(found.get("x")).toEqual({ device_type: "esp32" });
});

test("a PostgreSQL that hangs costs two seconds once, not with every batch", async () => {
  const proxy = await startProxy(postgres.port);
  opened.push(proxy);
  const url = new URL(postgres.url);
  url.port = String(proxy.port);
  await addDevices("known");
  const directory = open(url.href);
  await directory.find(["known"]);
  proxy.pause();
  const startMs = performance.now();
  for (let i = 0; i < 20; i++) await directory.find(["known", `new${i}`]);
  expect(performance.now() - startMs).toBeLessThan(patience(10_000));
  expect((await directory.find(["known"])).get("known")).toEqual({ device_type: "hydroponics" });
  proxy.resume();
});
