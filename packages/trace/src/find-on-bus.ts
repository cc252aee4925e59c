import type { Bus, EntryFate } from "@sluice/bus";
import { decodeMessage, InvalidInputError, type Telemetry } from "@sluice/shared-types";

/** A message found on the bus. */
export interface FoundMessage {
  /** `<entry>#<index>`. */
  id: string;
  stream: string;
  /** Its position among all messages ever accepted on the stream; 0 where others appended it. */
  ordinal: number;
  acceptedMs: number;
  telemetry: Telemetry;
  fates: EntryFate[];
}

const PAGE = 50;
/** As many of the newest messages are looked at: more than trimming leaves where no group lags. */
const MOST_MESSAGES = 200_000;

/** Messages of a device that `matches`, the newest first, out of what the streams still hold. */
export async function findOnBus(
  bus: Bus,
  streams: readonly string[],
  device: string,
  matches: (telemetry: Telemetry) => boolean,
  limit: number,
): Promise<FoundMessage[]> {
  const found: FoundMessage[] = [];
  const mark = JSON.stringify({ d: device }).slice(0, -1);
  for (const stream of streams) {
    let from = "-";
    let looked = 0;
    while (looked < MOST_MESSAGES && found.length < limit) {
      const page = await bus.browse(stream, { from, count: PAGE, reverse: true });
      for (const entry of page) {
        if (entry.id === from) continue;
        looked += entry.messages.length;
        for (const [index, text] of [...entry.messages.entries()].reverse()) {
          if (!text.startsWith(mark)) continue;
          const telemetry = tryDecode(text);
          if (!telemetry || !matches(telemetry)) continue;
          found.push(await describe(bus, stream, entry.id, index, entry.ordinal, telemetry));
        }
      }
      const last = page.at(-1)?.id;
      if (last === undefined || last === from || page.length < PAGE) break;
      from = last;
    }
  }
  return found.slice(0, limit);
}

/** The message of an id, where a stream still holds it. */
export async function findById(
  bus: Bus,
  streams: readonly string[],
  entryId: string,
  index: number,
): Promise<FoundMessage | undefined> {
  for (const stream of streams) {
    const [entry] = await bus.browse(stream, { from: entryId, count: 1 });
    const text = entry?.id === entryId ? entry.messages[index] : undefined;
    const telemetry = text === undefined ? undefined : tryDecode(text);
    if (entry && telemetry) return describe(bus, stream, entry.id, index, entry.ordinal, telemetry);
  }
  return undefined;
}

async function describe(
  bus: Bus,
  stream: string,
  entryId: string,
  index: number,
  ordinal: number,
  telemetry: Telemetry,
): Promise<FoundMessage> {
  return {
    id: `${entryId}#${index}`,
    stream,
    ordinal: ordinal === 0 ? 0 : ordinal + index,
    acceptedMs: Number.parseInt(entryId, 10),
    telemetry,
    fates: await bus.fates(stream, entryId),
  };
}

function tryDecode(text: string): Telemetry | undefined {
  try {
    return decodeMessage(text);
  } catch (error) {
    if (error instanceof InvalidInputError) return undefined;
    throw error;
  }
}
