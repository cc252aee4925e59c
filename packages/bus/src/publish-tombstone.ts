import { encodeTombstone, parseDeviceId, partitionOf, streamKey, type Tombstone } from "@sluice/shared-types";
import type { Bus } from "./bus.ts";

/** Where a tombstone is in the bus. */
export interface PublishedTombstone {
  stream: string;
  /** Its message id: sinks tell under it what they have deleted. */
  id: string;
}

/**
 * Deletes a device's readings of a range of time, in every sink: the tombstone goes through the stream of the device,
 * so that each sink deletes in its turn, and what was published before it and is still in flight stays deleted.
 * Resolves once it is durable; the sinks follow. Readings of the range that are published afterwards are new ones;
 * wait until the database says that the tombstone is applied before sending them (`findTombstone` of @sluice/db).
 * @throws InvalidInputError on an illegal id, RangeError on an empty range; OutageError where it was not appended
 */
export async function publishTombstone(
  bus: Pick<Bus, "publish">,
  tombstone: Omit<Tombstone, "publishedUs">,
  options: { partitions: number; nowMs?: number },
): Promise<PublishedTombstone> {
  const device = parseDeviceId(tombstone.device);
  const stream = streamKey("telemetry", partitionOf(device, options.partitions));
  const publishedUs = (options.nowMs ?? Date.now()) * 1000;
  const [id = ""] = await bus.publish(stream, [encodeTombstone({ ...tombstone, device, publishedUs })]);
  return { stream, id };
}
