import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** What Redis answers, as far as the checks need it. */
export type RedisReply = string | number | null | RedisReply[];

/**
 * Asks a Redis a few commands on one connection, logging in as the url says. An error reply becomes a
 * string that begins with `-`. Rejects when it cannot be reached or does not answer in time.
 */
export async function askRedis(
  url: string,
  commands: readonly string[][],
  timeoutMs = 4_000,
): Promise<RedisReply[]> {
  const { protocol, hostname, port, username, password } = new URL(url);
  const address = { host: hostname.replace(/^\[|\]$/g, "") || "127.0.0.1", port: Number(port || 6379) };
  const login =
    password === "" ? [] : [["AUTH", ...(username === "" ? [] : [username]), decodeURIComponent(password)]];
  const all = [...login, ...commands];
  const socket = protocol === "rediss:" ? connectTls(address) : connectTcp(address);
  try {
    const replies = await collect(socket, all.length, all.map(encode).join(""), timeoutMs);
    const refusal = replies
      .slice(0, login.length)
      .find((reply) => typeof reply === "string" && reply.startsWith("-"));
    if (refusal !== undefined) throw new Error(`login refused: ${String(refusal).slice(1)}`);
    return replies.slice(login.length);
  } finally {
    socket.destroy();
  }
}

function encode(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`;
}

function collect(socket: Socket, count: number, question: string, timeoutMs: number): Promise<RedisReply[]> {
  return new Promise((resolve, reject) => {
    let received = "";
    socket.setTimeout(timeoutMs, () => reject(new Error(`no answer in ${timeoutMs} ms`)));
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("it closed the connection")));
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
      const replies = parseReplies(received, count);
      if (replies !== undefined) resolve(replies);
    });
    socket.write(question);
  });
}

/** Reads `count` replies; undefined while something is missing. */
function parseReplies(text: string, count: number): RedisReply[] | undefined {
  const replies: RedisReply[] = [];
  let at = 0;
  while (replies.length < count) {
    const parsed = parseReply(text, at);
    if (parsed === undefined) return undefined;
    replies.push(parsed.reply);
    at = parsed.next;
  }
  return replies;
}

function parseReply(text: string, at: number): { reply: RedisReply; next: number } | undefined {
  const end = text.indexOf("\r\n", at);
  if (end < 0) return undefined;
  const line = text.slice(at + 1, end);
  const next = end + 2;
  switch (text[at]) {
    case ":":
      return { reply: Number(line), next };
    case "$": {
      const length = Number(line);
      if (length < 0) return { reply: null, next };
      return text.length < next + length + 2
        ? undefined
        : { reply: text.slice(next, next + length), next: next + length + 2 };
    }
    case "*":
      return parseArray(text, next, Number(line));
    case "-":
      return { reply: `-${line}`, next };
    default:
      return { reply: line, next };
  }
}

function parseArray(
  text: string,
  from: number,
  length: number,
): { reply: RedisReply; next: number } | undefined {
  const items: RedisReply[] = [];
  let next = from;
  for (let i = 0; i < length; i++) {
    const item = parseReply(text, next);
    if (item === undefined) return undefined;
    items.push(item.reply);
    next = item.next;
  }
  return { reply: items, next };
}
