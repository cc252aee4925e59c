/** Cuts one direction of a PostgreSQL connection into messages: their type letter and their text. */
export function createMessageReader(
  onMessage: (type: string, body: Buffer) => void,
  /** The first message of a client has no type. */
  fromClient: boolean,
): (chunk: Buffer) => void {
  let held: Buffer = Buffer.alloc(0);
  let typed = !fromClient;
  return (chunk) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    for (;;) {
      const at = typed ? 1 : 0;
      if (held.length < at + 4) return;
      const end = at + held.readInt32BE(at);
      if (held.length < end) return;
      const type = typed ? String.fromCharCode(held[0] ?? 0) : "";
      const body = held.subarray(at + 4, end);
      held = held.subarray(end);
      typed = true;
      onMessage(type, body);
    }
  };
}
