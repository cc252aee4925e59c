// Sends mutations of a kept corpus to the gateway's MQTT and HTTP ports and sees that it shrugs them off.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";

/** Where the seeds are, and whatever broke something is kept. */
const CORPUS = join(import.meta.dirname, "../corpus");

/** One input and where it goes. */
export interface FuzzInput {
  port: "mqtt" | "http";
  bytes: Buffer;
}

/** What to send, where, for how long. */
export interface FuzzOptions {
  mqttPort: number;
  httpPort: number;
  /** CONNECT packet of a device that is let in: half of the MQTT inputs come after it. */
  login: Buffer;
  /** Key that half of the HTTP inputs carry. */
  apiKey: string;
  seconds: number;
  seed: number;
  parallel?: number;
}

/** What came of it. */
export interface FuzzReport {
  inputs: number;
  /** Answers of HTTP by status. */
  statuses: Record<number, number>;
  /** Inputs answered with 500 and the like: the program did not expect them. */
  failed: FuzzInput[];
}

const MAX_INPUT = 70_000;
const ANSWER_MS = 40;

/** A repeatable source of numbers in [0, 1). */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The kept inputs. */
function readCorpus(): FuzzInput[] {
  return readdirSync(CORPUS)
    .filter((name) => name.endsWith(".bin"))
    .sort()
    .map((name) => ({
      port: name.startsWith("http-") ? "http" : "mqtt",
      bytes: readFileSync(join(CORPUS, name)),
    }));
}

/** Keeps an input, so that every later run begins with it. */
export function keepInput({ port, bytes }: FuzzInput): void {
  const name = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
  writeFileSync(join(CORPUS, `${port}-found-${name}.bin`), bytes);
}

const INTERESTING = [0, 1, 0x7f, 0x80, 0xff, 0x10, 0x30, 0x82, 0x0a, 0x0d, 0x22, 0x7b];

/** One to four changes: bits, bytes, pieces left out, doubled, swapped in from another input. */
function mutate(bytes: Buffer, other: Buffer, random: () => number): Buffer {
  let out = Buffer.from(bytes);
  const below = (n: number) => Math.floor(random() * n);
  for (let n = 1 + below(4); n > 0 && out.length > 0; n--) {
    const at = below(out.length);
    const end = Math.min(out.length, at + 1 + below(32));
    switch (below(6)) {
      case 0:
        out[at] = (out[at] ?? 0) ^ (1 << below(8));
        break;
      case 1:
        out[at] = INTERESTING[below(INTERESTING.length)] ?? 0;
        break;
      case 2:
        out = Buffer.concat([out.subarray(0, at), out.subarray(end)]);
        break;
      case 3:
        out = Buffer.concat([out.subarray(0, end), out.subarray(at)]);
        break;
      case 4: {
        const from = below(other.length);
        out = Buffer.concat([out.subarray(0, at), other.subarray(from, from + 64), out.subarray(at)]);
        break;
      }
      default:
        out = out.subarray(0, at + 1);
    }
  }
  return out.subarray(0, MAX_INPUT);
}

/** Sends the corpus as it is, then mutations of it, each on a connection of its own, until the time is up. */
export async function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  const random = createRandom(options.seed);
  const corpus = readCorpus();
  const report: FuzzReport = { inputs: 0, statuses: {}, failed: [] };
  const untilMs = Date.now() + options.seconds * 1000;
  const waiting = [...corpus];
  const pick = () => corpus[Math.floor(random() * corpus.length)] ?? corpus[0];
  const next = (): FuzzInput | undefined => {
    const kept = waiting.shift();
    if (kept || Date.now() >= untilMs) return kept;
    const seed = pick();
    const other = pick();
    return seed && other && { port: seed.port, bytes: mutate(seed.bytes, other.bytes, random) };
  };
  const work = async () => {
    for (let input = next(); input; input = next()) {
      const known = random() < 0.5;
      report.inputs++;
      const status = await send(input, known, options);
      if (status === undefined) continue;
      report.statuses[status] = (report.statuses[status] ?? 0) + 1;
      if (status >= 500 && status !== 503) report.failed.push(input);
    }
  };
  await Promise.all(Array.from({ length: options.parallel ?? 16 }, work));
  return report;
}

/** Resolves when the gateway has answered, closed, or had a moment to do so; with the status of an HTTP answer. */
function send(input: FuzzInput, known: boolean, options: FuzzOptions): Promise<number | undefined> {
  const { mqttPort, httpPort, login, apiKey } = options;
  const bytes = known ? authenticated(input, login, apiKey) : input.bytes;
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port: input.port === "mqtt" ? mqttPort : httpPort });
    let answer = "";
    const timer = setTimeout(() => socket.destroy(), ANSWER_MS);
    socket.on("connect", () => socket.write(bytes));
    socket.on("data", (chunk) => {
      answer += chunk.toString("latin1").slice(0, 64);
      if (input.port === "http") socket.destroy();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(timer);
      const status = /^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1];
      resolve(status === undefined ? undefined : Number(status));
    });
  });
}

function authenticated({ port, bytes }: FuzzInput, login: Buffer, apiKey: string): Buffer {
  if (port === "mqtt") return Buffer.concat([login, bytes]);
  const at = bytes.indexOf("\r\n");
  if (at < 0) return bytes;
  return Buffer.concat([bytes.subarray(0, at), Buffer.from(`\r\nX-API-Key: ${apiKey}`), bytes.subarray(at)]);
}
