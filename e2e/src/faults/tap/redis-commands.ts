/** Cuts what a client sends to Redis into commands, as they complete. */
export function createCommandReader(onCommand: (words: string[]) => void): (chunk: Buffer) => void {
  let held: Buffer = Buffer.alloc(0);
  return (chunk) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    for (;;) {
      const found = readCommand(held);
      if (!found) return;
      held = held.subarray(found.end);
      onCommand(found.words);
    }
  };
}

function readCommand(bytes: Buffer): { words: string[]; end: number } | undefined {
  let at = 0;
  const line = (): string | undefined => {
    const end = bytes.indexOf("\r\n", at);
    if (end < 0) return undefined;
    const text = bytes.toString("latin1", at, end);
    at = end + 2;
    return text;
  };
  const head = line();
  if (head === undefined) return undefined;
  const words: string[] = [];
  for (let i = Number(head.slice(1)); i > 0; i--) {
    const size = line();
    if (size === undefined) return undefined;
    const length = Number(size.slice(1));
    if (bytes.length < at + length + 2) return undefined;
    words.push(bytes.toString("utf8", at, at + length));
    at += length + 2;
  }
  return { words, end: at };
}

/** Cuts what Redis answers into replies; tells of each whether it is an error. */
export function createReplyReader(onReply: (error: boolean) => void): (chunk: Buffer) => void {
  let held: Buffer = Buffer.alloc(0);
  return (chunk) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    for (;;) {
      const end = endOfReply(held, 0);
      if (end < 0) return;
      const kind = held[0];
      held = held.subarray(end);
      if (kind !== PUSH) onReply(kind === ERROR);
    }
  };
}

const [ERROR, PUSH, BULK, VERBATIM, BLOB_ERROR] = [..."->$=!"].map((c) => c.charCodeAt(0));
const [ARRAY, SET, MAP] = [..."*~%"].map((c) => c.charCodeAt(0));

/** Where the reply that begins at `from` ends; -1 while it is not complete. */
function endOfReply(bytes: Buffer, from: number): number {
  const lineEnd = bytes.indexOf("\r\n", from);
  if (lineEnd < 0) return -1;
  const kind = bytes[from];
  const start = lineEnd + 2;
  const length = () => Number(bytes.toString("latin1", from + 1, lineEnd));
  if (kind === BULK || kind === VERBATIM || kind === BLOB_ERROR) {
    if (length() < 0) return start;
    return bytes.length < start + length() + 2 ? -1 : start + length() + 2;
  }
  if (kind !== ARRAY && kind !== SET && kind !== MAP && kind !== PUSH) return start;
  let at = start;
  for (let i = length() * (kind === MAP ? 2 : 1); i > 0; i--) {
    at = endOfReply(bytes, at);
    if (at < 0) return -1;
  }
  return at;
}
