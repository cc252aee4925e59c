import { OutageError } from "@sluice/shared-types";
import mqtt from "mqtt";
import { CommandError } from "../command-error.ts";

/** A command of Mosquitto's dynamic security plugin. */
export type DynsecCommand = { command: string } & Record<string, unknown>;

/** Its answer to one. */
export interface DynsecAnswer {
  command: string;
  error?: string;
  data?: Record<string, unknown>;
}

/** The plugin of a running Mosquitto, spoken to as its administrator. */
export interface Dynsec {
  /** Runs commands in order; resolves with one answer each. Rejects with OutageError where the broker is away. */
  run(commands: readonly DynsecCommand[]): Promise<DynsecAnswer[]>;
  close(): Promise<void>;
}

const CONTROL = "$CONTROL/dynamic-security/v1";
const ANSWER_MS = 15_000;
/** In one message; keeps it far below the broker's packet limit. */
const COMMANDS_AT_ONCE = 50;

/** Connects to Mosquitto as an administrator of its dynamic security. @throws CommandError where it is not let in */
export async function openDynsec(url: string): Promise<Dynsec> {
  const client = await mqtt
    .connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0, connectTimeout: 10_000 }, false)
    .catch((cause: Error) => {
      throw new CommandError(`Mosquitto does not let us in: ${cause.message}`, 1, { cause });
    });
  await client.subscribeAsync(`${CONTROL}/response`, { qos: 1 }).catch((cause: Error) => {
    client.end(true);
    throw new CommandError("this user is no administrator of Mosquitto's dynamic security", 1, { cause });
  });
  let last: Promise<unknown> = Promise.resolve();
  const ask = (commands: readonly DynsecCommand[]) =>
    new Promise<DynsecAnswer[]>((resolve, reject) => {
      const finish = (act: () => void) => {
        clearTimeout(timer);
        client.off("message", answered);
        client.off("close", closed);
        act();
      };
      const answered = (_topic: string, payload: Buffer) =>
        finish(() => resolve((JSON.parse(payload.toString()) as { responses: DynsecAnswer[] }).responses));
      const outage = (why: string) => finish(() => reject(new OutageError("mqtt", why)));
      const closed = () => outage("Mosquitto closed the connection");
      const timer = setTimeout(() => outage("the plugin does not answer: is it loaded?"), ANSWER_MS);
      client.on("message", answered);
      client.on("close", closed);
      client.publish(CONTROL, JSON.stringify({ commands }), { qos: 1 }, (error) => {
        if (error) outage(error.message);
      });
    });
  return {
    async run(commands) {
      const answers: DynsecAnswer[] = [];
      for (let at = 0; at < commands.length; at += COMMANDS_AT_ONCE) {
        const asking = last.then(() => ask(commands.slice(at, at + COMMANDS_AT_ONCE)));
        last = asking.catch(() => {});
        answers.push(...(await asking));
      }
      return answers;
    },
    close: () => client.endAsync(),
  };
}
