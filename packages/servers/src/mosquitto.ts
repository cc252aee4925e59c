import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { askPort } from "./ask-port.ts";
import { getBinary } from "./find-binary.ts";
import { launch, type Place } from "./launch.ts";
import type { Server, ServerOptions } from "./server.ts";
import { isRoot } from "./user.ts";

/** How a private Mosquitto is configured. */
export interface MosquittoOptions extends ServerOptions {
  /** Lines added to the plain configuration (one loopback listener, anonymous unless they say otherwise). */
  config?: string | undefined;
  /** The whole configuration instead, for tests of a real configuration file. */
  wholeConfig?: ((place: Place) => string) | undefined;
}

// CONNECT, MQTT 3.1.1, clean session, client id "probe": any CONNACK, even a refusal, means it serves.
const CONNECT = Buffer.from("101100044d5154540402000a000570726f6265", "hex");

/** Starts a private Mosquitto broker. */
export function startMosquitto(options: MosquittoOptions = {}): Promise<Server> {
  const file = getBinary("mosquitto", "mosquitto");
  return launch(
    {
      name: "mosquitto",
      url: (port) => `mqtt://127.0.0.1:${port}`,
      prepare(place) {
        const text = options.wholeConfig?.(place) ?? plainConfig(options.config ?? "", place.port);
        writeFileSync(join(place.dir, "mosquitto.conf"), text, { mode: 0o600 });
      },
      command: ({ dir }) => ({ file, args: ["-c", join(dir, "mosquitto.conf")] }),
      async ready({ port }) {
        const reply = await askPort(port, CONNECT);
        if (reply.charCodeAt(0) !== 0x20) throw new Error("no CONNACK");
      },
    },
    options,
  );
}

function plainConfig(added: string, port: number): string {
  const lines = [`listener ${port} 127.0.0.1`];
  if (!/^\s*(allow_anonymous|password_file)\b/m.test(added)) lines.push("allow_anonymous true");
  // As root it would become the user "mosquitto", which may not enter our directory.
  if (isRoot()) lines.push("user root");
  return `${lines.join("\n")}\n${added}\n`;
}
