import { randomBytes } from "node:crypto";
import { type LinkOptions, openLink } from "./mqtt-link.ts";

/** Where gateways ask each other who is there: `{root}/system/gateway`. */
export const gatewayTopic = (root: string): string => `${root}/system/gateway`;

const ANSWER_MS = 1000;

/** One gateway asks whether another serves a client id; whoever does answers. */
interface Word {
  say: "ask" | "here";
  clientId: string;
  instance: string;
}

/**
 * Asks over a connection of its own whether another gateway has the sessions of `clientId`, and resolves with
 * its name. Brokers close a connection whose id somebody else uses without a word (Mosquitto 2.0 even to MQTT 5
 * clients), and without this two gateways would throw each other out for ever. Rejects with OutageError.
 */
export async function findRival(
  options: Omit<LinkOptions, "version" | "receiveMaximum" | "clean">,
  root: string,
  clientId: string,
  instance: string,
): Promise<string | undefined> {
  const topic = gatewayTopic(root);
  let answer: (rival: string | undefined) => void = () => {};
  const answered = new Promise<string | undefined>((resolve) => {
    answer = resolve;
  });
  const own = {
    clientId: `${clientId}-ask-${randomBytes(3).toString("hex")}`,
    version: 4,
    clean: true,
  } as const;
  const link = await openLink({ ...options, ...own, receiveMaximum: 10 }, (packet) => {
    const word = readWord(packet.payload.toString());
    if (word?.say === "here" && word.clientId === clientId && word.instance !== instance)
      answer(word.instance);
  });
  const timer = setTimeout(answer, ANSWER_MS, undefined);
  try {
    await link.subscribe([{ topic, qos: 0 }]);
    const ask: Word = { say: "ask", clientId, instance };
    await link.publish(topic, JSON.stringify(ask), { qos: 0, retain: false });
    return await answered;
  } finally {
    clearTimeout(timer);
    await link.end();
  }
}

/** What to say to a word on the gateways' topic, if anything. */
export function answerRival(payload: string, clientId: string, instance: string): string | undefined {
  const word = readWord(payload);
  if (word?.say !== "ask" || word.clientId !== clientId || word.instance === instance) return undefined;
  const here: Word = { say: "here", clientId, instance };
  return JSON.stringify(here);
}

function readWord(payload: string): Word | undefined {
  try {
    const word = JSON.parse(payload) as Word | null;
    return typeof word?.instance === "string" ? word : undefined;
  } catch {
    return undefined;
  }
}
