import { freePort, isPortFree } from "@sluice/servers";
import { CommandError } from "../command-error.ts";

/** Which ports may be taken, best first. */
export interface PortWish {
  /** For messages, for example `--mqtt-port`. */
  flag: string;
  host: string;
  /** Asked for by the user: this one or none; 0 means any. */
  asked: number | undefined;
  /** The one of the last start. */
  last: number | undefined;
  usual: number;
}

/** Picks a port: as asked, or the last one, the usual one, any free one. @throws CommandError if the asked one is taken */
export async function choosePort(wish: PortWish): Promise<number> {
  const { asked, host } = wish;
  if (asked !== undefined && asked !== 0) {
    if (await isPortFree(asked, host)) return asked;
    throw new CommandError(
      `${wish.flag} ${asked} cannot be opened on ${host} (in use, or not allowed): choose another, or 0 for any free one`,
    );
  }
  const wanted = asked === 0 ? [wish.last] : [wish.last, wish.usual];
  for (const port of wanted) {
    if (port !== undefined && (await isPortFree(port, host))) return port;
  }
  return freePort();
}
