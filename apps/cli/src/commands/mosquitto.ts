import { CREDENTIALS_CHANNEL, type Db, listCredentials, listen, rotateDevice } from "@sluice/db";
import { Argument, Command } from "commander";
import { CommandError } from "../command-error.ts";
import { environment } from "../environment.ts";
import { deviceIdArgument } from "../id-argument.ts";
import { connectFor } from "../installation.ts";
import { interruptible } from "../interrupt.ts";
import { type Dynsec, openDynsec } from "../mosquitto/open-dynsec.ts";
import { type SyncReport, setPassword, syncDynsec } from "../mosquitto/sync-dynsec.ts";
import { note, printJson, printJsonLine, printLine } from "../output.ts";

interface Options {
  url?: string;
  watch?: boolean;
  json?: boolean;
}

const EXAMPLES = `
Mosquitto has to load mosquitto_dynamic_security.so. SLUICE_MOSQUITTO_URL carries the address, user and password of
its administrator; SLUICE_TOPIC_ROOT the topics' root. The gateway's own user there gets the role sluice-gateway.

Examples:
  $ export SLUICE_MOSQUITTO_URL=mqtts://admin:SECRET@broker.example:8883
  $ ./sluice mosquitto sync --watch
  $ ./sluice mosquitto issue greenhouse-1`;

/** `sluice mosquitto`: devices of an external Mosquitto with dynamic security. */
export function mosquittoCommand(): Command {
  const command = new Command("mosquitto")
    .description("keep devices and their rights in step with an external Mosquitto")
    .addHelpText("after", EXAMPLES);
  command.addCommand(sync());
  command.addCommand(issue());
  return command;
}

function sync(): Command {
  return new Command("sync")
    .description("make Mosquitto's clients and roles what the devices here are")
    .option("--watch", "stay, and follow every change")
    .option("--url <url>", "administrator's URL; by default SLUICE_MOSQUITTO_URL")
    .option("--json", "print JSON")
    .addHelpText("after", EXAMPLES)
    .action((options: Options, command: Command) =>
      withBoth(options, command, async (db, dynsec, root) => {
        const once = async () => print(await syncDynsec(dynsec, await listCredentials(db), root), options);
        await once();
        if (options.watch) await interruptible((signal) => followChanges(db, once, signal));
      }),
    );
}

/** Runs `once` after every change, one at a time, until told to stop; a failure ends it. */
async function followChanges(db: Db, once: () => Promise<void>, signal: AbortSignal): Promise<void> {
  let wake = () => {};
  let changed = false;
  const listening = await listen(db, CREDENTIALS_CHANNEL, () => {
    changed = true;
    wake();
  });
  signal.addEventListener("abort", () => wake());
  try {
    await once(); // what changed before we listened
    while (!signal.aborted) {
      if (changed) {
        changed = false;
        await once();
        continue;
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    await listening.close();
  }
}

function issue(): Command {
  return new Command("issue")
    .description(
      "give a device new secrets, here and in Mosquitto; the old ones end there now, here in a day",
    )
    .addArgument(new Argument("<id>", "device id").argParser(deviceIdArgument))
    .option("--url <url>", "administrator's URL; by default SLUICE_MOSQUITTO_URL")
    .option("--json", "print JSON: { id, username, password, apiKey }")
    .addHelpText("after", "\nExample:\n  $ ./sluice mosquitto issue greenhouse-1")
    .action((id: string, options: Options, command: Command) =>
      withBoth(options, command, async (db, dynsec, root, pepper) => {
        await syncDynsec(dynsec, await listCredentials(db), root);
        const device = await rotateDevice(db, pepper(), id, { overlapMs: 86_400_000 });
        await setPassword(dynsec, device.username, device.password);
        const { username, password, apiKey } = device;
        if (options.json) return printJson({ id, username, password, apiKey });
        printLine(`device    ${id}\nusername  ${username}\npassword  ${password}\nAPI key   ${apiKey}`);
        note("These secrets are shown once and kept nowhere.");
      }),
    );
}

async function withBoth(
  options: Options,
  command: Command,
  work: (db: Db, dynsec: Dynsec, root: string, pepper: () => string) => Promise<void>,
): Promise<void> {
  const url = options.url ?? environment.SLUICE_MOSQUITTO_URL;
  if (!url) throw new CommandError("where is Mosquitto? Set SLUICE_MOSQUITTO_URL or give --url", 2);
  const connection = connectFor(command);
  const db = await connection.openDb();
  try {
    const dynsec = await openDynsec(url);
    try {
      await work(db, dynsec, connection.topicRoot, connection.pepper);
    } finally {
      await dynsec.close();
    }
  } finally {
    await db.close();
  }
}

function print(report: SyncReport, { json }: Options): void {
  if (json) {
    printJsonLine(report);
    return;
  }
  const { created, changed, removed } = report;
  const all = created.length + changed.length + removed.length;
  printLine(
    all === 0
      ? "in step"
      : `${created.length} clients made, ${changed.length} changed, ${removed.length} removed`,
  );
  if (created.length > 0) note("A new client has no password yet: ./sluice mosquitto issue ID");
}
