import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import {
  createDevice,
  type Db,
  disableDevice,
  enableDevice,
  listCredentials,
  openDb,
  removeDevice,
  rotateDevice,
} from "@sluice/db";
import { type Server, startMosquitto } from "@sluice/servers";
import { usePostgres, waitFor } from "@sluice/testkit";
import mqtt from "mqtt";
import { type Dynsec, openDynsec } from "../src/mosquitto/open-dynsec.ts";
import { setPassword, syncDynsec } from "../src/mosquitto/sync-dynsec.ts";

const ADMIN = "password-of-the-admin";
const PLUGIN = execFileSync("sh", [
  "-c",
  "ls /usr/lib/*/mosquitto_dynamic_security.so /usr/lib/mosquitto_dynamic_security.so 2>/dev/null || true",
])
  .toString()
  .trim()
  .split("\n")[0];
const database = usePostgres();
let broker: Server;
let dynsec: Dynsec;
let db: Db;

beforeAll(async () => {
  let made = false;
  broker = await startMosquitto({
    wholeConfig: ({ dir, port }) => {
      const file = join(dir, "dynsec.json");
      if (!made) execFileSync("mosquitto_ctrl", ["dynsec", "init", file, "admin", ADMIN], { stdio: "pipe" });
      made = true;
      const user = process.getuid?.() === 0 ? "user root\n" : "";
      return `${user}listener ${port} 127.0.0.1\nallow_anonymous false\nplugin ${PLUGIN}\nplugin_opt_config_file ${file}\n`;
    },
  });
  dynsec = await openDynsec(`mqtt://admin:${ADMIN}@127.0.0.1:${broker.port}`);
  db = await openDb(database.url, { max: 2 });
});

afterAll(async () => {
  await db?.close();
  await dynsec?.close();
  await broker?.stop();
});

const sync = async () => syncDynsec(dynsec, await listCredentials(db), "iotflow");
const connect = (login: { username: string; password: string }) =>
  mqtt.connectAsync(broker.url, { ...login, reconnectPeriod: 0, connectTimeout: 5000 }, false);

test("devices of an external Mosquitto have the rights they have here, and lose them with their credential", async () => {
  const [a] = [
    await createDevice(db, "pepper-of-the-test", { id: "ext_1" }),
    await createDevice(db, "pepper-of-the-test", { id: "ext_2" }),
  ];
  expect(await sync()).toEqual({ created: ["dev_ext_1", "dev_ext_2"], changed: [], removed: [] });
  expect(await sync()).toEqual({ created: [], changed: [], removed: [] });
  await expect(connect(a)).rejects.toThrow(/Not authorized/);
  const b = await rotateDevice(db, "pepper-of-the-test", "ext_2", { overlapMs: 0 });
  await setPassword(dynsec, a.username, a.password);
  await setPassword(dynsec, b.username, b.password);

  await dynsec.run([
    {
      command: "createClient",
      username: "gateway",
      password: ADMIN,
      roles: [{ rolename: "sluice-gateway" }],
    },
  ]);
  const heard: string[] = [];
  const gateway = await mqtt.connectAsync(broker.url, {
    username: "gateway",
    password: ADMIN,
    protocolVersion: 5,
    reconnectPeriod: 0,
  });
  gateway.on("message", (topic) => heard.push(topic));
  await gateway.subscribeAsync("$share/sluice/iotflow/devices/+/telemetry", { qos: 1 });
  const [first, second] = [await connect(a), await connect(b)];
  const answers: string[] = [];
  first.on("message", (topic) => answers.push(topic));
  await first.subscribeAsync("iotflow/devices/ext_1/ack", { qos: 1 });
  await expect(first.subscribeAsync("iotflow/devices/ext_2/ack")).rejects.toThrow();
  await expect(first.subscribeAsync("#")).rejects.toThrow();
  await second.publishAsync("iotflow/devices/ext_1/telemetry", "{}", { qos: 1 });
  await first.publishAsync("iotflow/devices/ext_1/telemetry", "{}", { qos: 1 });
  await second.publishAsync("iotflow/devices/ext_2/telemetry", "{}", { qos: 1 });
  await gateway.publishAsync("iotflow/devices/ext_1/ack", "{}", { qos: 1 });
  await waitFor(() => answers.length > 0 && heard.length >= 2);
  expect(heard).toEqual(["iotflow/devices/ext_1/telemetry", "iotflow/devices/ext_2/telemetry"]);

  const cut = new Promise((resolve) => first.once("close", () => resolve(true)));
  await disableDevice(db, "ext_1");
  expect((await sync()).changed).toEqual(["dev_ext_1"]);
  await cut;
  await expect(connect(a)).rejects.toThrow(/Not authorized/);
  await enableDevice(db, "ext_1");
  await sync();
  await (await connect(a)).endAsync();
  await removeDevice(db, "ext_2");
  expect((await sync()).removed).toEqual(["dev_ext_2"]);
  await expect(connect(b)).rejects.toThrow(/Not authorized/);
  // What others made at the broker is not ours to remove.
  expect(gateway.connected).toBe(true);
  await Promise.all([gateway.endAsync(), first.endAsync(true), second.endAsync(true)]);
});
