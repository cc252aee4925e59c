import { InvalidInputError } from "./errors.ts";

/** Every reading of a device from `fromUs` (inclusive) to `toUs` (exclusive), microseconds, is deleted. */
export interface Tombstone {
  device: string;
  fromUs: number;
  toUs: number;
  /** When the deletion was asked for: readings that the server got later are not its business. */
  publishedUs: number;
}

const MARK = ',"z":[';

/**
 * A tombstone as it travels in a telemetry stream, among the messages that it comes after: sinks delete what is in
 * the range, and drop what was published before it and arrives later. @throws RangeError where the range is empty
 */
export function encodeTombstone({ device, fromUs, toUs, publishedUs }: Tombstone): string {
  if (!Number.isSafeInteger(fromUs) || !Number.isSafeInteger(toUs) || fromUs >= toUs)
    throw new RangeError("a deletion needs a range of time that is not empty");
  const wire = { d: device, y: "tombstone", w: "operator", r: publishedUs, z: [fromUs, toUs] };
  return `${JSON.stringify({ ...wire, t: [], c: "none" }).slice(0, -1)},"p":{}}`;
}

/** Whether an encoded message is a tombstone, without decoding it. */
export function isTombstone(message: string): boolean {
  const at = message.indexOf(MARK);
  return at >= 0 && at < message.indexOf(',"p":');
}

/** The range of a decoded envelope. @throws InvalidInputError `undecodable` */
export function readRange(range: unknown): Pick<Tombstone, "fromUs" | "toUs"> {
  const [fromUs, toUs] = Array.isArray(range) ? range : [];
  if (!Number.isSafeInteger(fromUs) || !Number.isSafeInteger(toUs) || fromUs >= toUs)
    throw new InvalidInputError("undecodable", "a tombstone without a range of time");
  return { fromUs, toUs };
}

/** Whether the deletion takes a reading of that time, in a message that came before it. */
export const covers = (tombstone: Tombstone, device: string, timeUs: number, receivedUs: number): boolean =>
  tombstone.device === device &&
  timeUs >= tombstone.fromUs &&
  timeUs < tombstone.toUs &&
  receivedUs <= tombstone.publishedUs;
