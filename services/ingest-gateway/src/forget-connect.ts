import type { Client } from "aedes";
import { writeToStream } from "mqtt-packet";

// 65,536 buffers, 8 MB, to save one of two bytes for each PUBACK.
writeToStream.cacheNumbers = false;

/** What the parser of a connection was told by its CONNECT. */
interface Settings {
  protocolVersion: number | undefined;
  bridgeMode: boolean | undefined;
}

/**
 * Of a client that has connected, drops what nobody reads again: its parser keeps the whole CONNECT while the connection
 * lives, with the password and the bytes it came in, and needs only the version and whether it is a bridge.
 */
export function forgetConnect(client: Client): void {
  const { _parser } = client as unknown as { _parser: { settings: Settings } };
  const { protocolVersion, bridgeMode } = _parser.settings;
  _parser.settings = { protocolVersion, bridgeMode };
}
