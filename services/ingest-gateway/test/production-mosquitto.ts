import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, type Server, startMosquitto } from "@sluice/servers";
import mqtt, { type MqttClient } from "mqtt";

const shipped = (name: string) => readFileSync(join(import.meta.dirname, "../../../mosquitto", name), "utf8");

/** The shipped configuration, running on private ports and paths. */
export interface ProductionBroker {
  server: Server;
  ports: { gateway: number; device: number; tls: number; ws: number };
  /** PEM of the certificate of the TLS listener. */
  ca: string;
  stop(): Promise<void>;
}

/** Password of every user. */
export const USER_PASSWORD = "a-password-of-the-test";

/** Starts Mosquitto with `mosquitto/mosquitto.conf` and `mosquitto/acl`; every user has the same password. */
export async function startProductionBroker(users: readonly string[]): Promise<ProductionBroker> {
  const ports = {
    gateway: await freePort(),
    device: await freePort(),
    tls: await freePort(),
    ws: await freePort(),
  };
  let made = false;
  const server = await startMosquitto({
    port: ports.device,
    wholeConfig: ({ dir }) => {
      if (!made) makeFiles(dir, users);
      made = true;
      return substitute(shipped("mosquitto.conf"), dir, ports);
    },
  });
  const ca = readFileSync(join(server.dir, "server.crt"), "utf8");
  return { server, ports, ca, stop: () => server.stop() };
}

function substitute(config: string, dir: string, ports: ProductionBroker["ports"]): string {
  const text = config
    .replaceAll("/etc/mosquitto/sluice", dir)
    .replace("/var/lib/mosquitto/", `${dir}/`)
    .replace("listener 1884 127.0.0.1", `listener ${ports.gateway} 127.0.0.1`)
    .replace("listener 1883", `listener ${ports.device} 127.0.0.1`)
    .replace("listener 8883", `listener ${ports.tls} 127.0.0.1`)
    .replace("listener 9001", `listener ${ports.ws} 127.0.0.1`)
    .replace("sys_interval 10", "sys_interval 1");
  return process.getuid?.() === 0 ? `user root\n${text}` : text;
}

function makeFiles(dir: string, users: readonly string[]): void {
  const passwords = join(dir, "passwords");
  writeFileSync(passwords, users.map((user) => `${user}:${USER_PASSWORD}\n`).join(""), { mode: 0o600 });
  execFileSync("mosquitto_passwd", ["-U", passwords], { stdio: "pipe" });
  const observer = "user observer\ntopic readwrite #\n";
  writeFileSync(join(dir, "acl"), shipped("acl").replace("# The gateway:", `${observer}\n# The gateway:`));
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  const out = ["-keyout", join(dir, "server.key"), "-out", join(dir, "server.crt"), "-days", "2"];
  execFileSync("openssl", ["req", "-x509", ...key, ...name, ...out], { stdio: "pipe" });
}

/** URL of a listener for the subscriber, credentials included. */
export const urlFor = (user: string, port: number, protocol = "mqtt"): string =>
  `${protocol}://${user}:${USER_PASSWORD}@127.0.0.1:${port}`;

/** Connects a client; rejects where the broker refuses. */
export function connectClient(
  url: string,
  options: mqtt.IClientOptions = {},
  password = USER_PASSWORD,
): Promise<MqttClient> {
  const { username } = new URL(url);
  const login = username === "" ? {} : { username: decodeURIComponent(username), password };
  return mqtt.connectAsync(url, { reconnectPeriod: 0, connectTimeout: 5000, ...login, ...options }, false);
}
