import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createTopics } from "@sluice/shared-types";
import { Argument, Command, Option } from "commander";
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import { CommandError } from "../command-error.ts";
import { environment } from "../environment.ts";
import { type PasswordSource, readDevicePassword, refusedSecretOptions } from "../fleet/device-password.ts";
import { deviceIdArgument, typeArgument } from "../id-argument.ts";
import { connectFor } from "../installation.ts";
import { printJson, printLine } from "../output.ts";

const TIMEOUT_MS = 10_000;

interface PublishOptions extends PasswordSource {
  topic?: string;
  type?: string;
  qos: string;
  username?: string;
  url?: string;
  ca?: string;
  raw?: boolean;
  json?: boolean;
}

const HELP = `
The password comes from SLUICE_DEVICE_PASSWORD, SLUICE_DEVICE_PASSWORD_FILE, --password-file or --password-stdin.

Examples:
  $ SLUICE_DEVICE_PASSWORD_FILE=secret ./sluice publish greenhouse-1 '{"temperature": 21.5, "seq": 1}'
  $ ./sluice publish greenhouse-1 '{"ph": 6.1}' --type water --password-stdin < secret`;

/** `sluice publish`: one message over MQTT, as the device would send it. */
export function publishCommand(): Command {
  const command = new Command("publish")
    .description("publish one message over MQTT with a device's credentials; tells when it is acknowledged")
    .addArgument(new Argument("<device>", "device id").argParser(deviceIdArgument))
    .argument("<json>", "payload")
    .addOption(new Option("--topic <topic>", "whole topic").conflicts("type"))
    .option("--type <type>", "type of the telemetry: the topic's last level", typeArgument)
    .addOption(new Option("--qos <level>", "quality of service").choices(["0", "1", "2"]).default("1"))
    .option("--username <name>", "default: SLUICE_DEVICE_USERNAME, else dev_<device>")
    .option("--password-file <file>", "file that holds the password")
    .option("--password-stdin", "read the password from standard input")
    .option("--url <url>", "another broker: mqtt://, mqtts://, ws:// or wss://")
    .option("--ca <file>", "certificate of the authority to trust, for mqtts")
    .option("--raw", "send the payload even if it is not JSON")
    .option("--json", "print JSON")
    .addHelpText("after", HELP)
    .action(publish);
  for (const option of refusedSecretOptions()) command.addOption(option);
  return command;
}

async function publish(
  device: string,
  payload: string,
  options: PublishOptions,
  command: Command,
): Promise<void> {
  const password = readDevicePassword(options);
  if (!options.raw) checkJson(payload);
  const qos = Number(options.qos) as 0 | 1 | 2;
  const installation = options.url === undefined ? connectFor(command) : undefined;
  const url = options.url ?? installation?.urls.mqtt ?? "";
  const root = installation?.topicRoot ?? environment.SLUICE_TOPIC_ROOT ?? "iotflow";
  const topic = options.topic ?? createTopics(root).telemetry(device, options.type);
  const username = options.username ?? environment.SLUICE_DEVICE_USERNAME ?? `dev_${device}`;
  const startMs = performance.now();
  await send(url, { username, password, ...readCa(options.ca) }, { topic, payload, qos });
  const ms = Math.round((performance.now() - startMs) * 10) / 10;
  const acknowledged = qos > 0;
  if (options.json) printJson({ topic, qos, acknowledged, ms });
  else if (acknowledged) printLine(`acknowledged: ${topic} (QoS ${qos}, ${ms} ms with connecting)`);
  else printLine(`sent: ${topic} (QoS 0: nobody confirms that it arrived)`);
}

function checkJson(payload: string): void {
  try {
    JSON.parse(payload);
  } catch (cause) {
    throw new CommandError(
      `the payload is not JSON: ${(cause as Error).message}; --raw sends it all the same`,
      2,
      {
        cause,
      },
    );
  }
}

function readCa(path: string | undefined): IClientOptions {
  if (path === undefined) return {};
  try {
    return { ca: readFileSync(path) };
  } catch (cause) {
    throw new CommandError(`--ca ${path}: ${(cause as Error).message}`, 2, { cause });
  }
}

interface Message {
  topic: string;
  payload: string;
  qos: 0 | 1 | 2;
}

async function send(url: string, login: IClientOptions, message: Message): Promise<void> {
  if (!/^(mqtts?|wss?):\/\//.test(url))
    throw new CommandError(`'${url}' is no mqtt://, mqtts://, ws:// or wss:// URL`, 2);
  const clientId = `sluice-publish-${randomBytes(6).toString("hex")}`;
  const client = mqtt.connect(url, { ...login, clientId, reconnectPeriod: 0, connectTimeout: TIMEOUT_MS });
  try {
    await attempt(client, url, message);
  } finally {
    await client.endAsync(true).catch(() => {});
  }
}

function attempt(client: MqttClient, url: string, { topic, payload, qos }: Message): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (why: string) => {
      clearTimeout(timer);
      reject(new CommandError(why));
    };
    const timer = setTimeout(() => fail(`${url} gave no answer within ${TIMEOUT_MS / 1000} s`), TIMEOUT_MS);
    let connected = false;
    client.on("error", (error) => fail(explain(url, error)));
    client.on("close", () =>
      fail(
        connected
          ? `${url} closed the connection without acknowledging: may this device publish to ${topic}? see ./sluice quarantine list`
          : `${url} closed the connection: is it an MQTT listener, with or without TLS as the URL says?`,
      ),
    );
    client.on("connect", () => {
      connected = true;
      client.publish(topic, payload, { qos }, (error) => {
        if (error) return fail(explain(url, error));
        clearTimeout(timer);
        if (qos > 0) return resolve();
        client.end(false, () => resolve()); // QoS 0 is sent once the connection is closed in order
      });
    });
  });
}

function explain(url: string, error: Error): string {
  const code = "code" in error ? error.code : undefined;
  if (code === 4 || code === 5 || code === 134 || code === 135) {
    return `${url} refused the credentials: check the password, or ./sluice devices rotate gives new ones`;
  }
  if (code === "ECONNREFUSED") return `nothing listens at ${url}: is Sluice running? see ./sluice status`;
  const text = error instanceof AggregateError ? error.errors.map(String).join("; ") : error.message;
  return `${url}: ${text || String(code)}`;
}
