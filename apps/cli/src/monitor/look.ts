import { setTimeout as delay } from "node:timers/promises";
import type { Bus, StreamLag } from "@sluice/bus";
import { type Db, listTotals } from "@sluice/db";
import { CAN_STREAM } from "@sluice/shared-types";
import { streamsOf } from "../installation.ts";

/** From so many messages in a stream on, or unread by a group, it is time to look. */
export const BACKPRESSURE = 5_000;

/** Streams that monitors look at, those that hold or held something. */
export async function lookAtStreams(bus: Bus): Promise<StreamLag[]> {
  const names = [...streamsOf("telemetry"), ...streamsOf("rejected"), CAN_STREAM];
  const lags = await Promise.all(names.map((name) => bus.lag(name)));
  return lags.filter(({ entries, groups, accepted }) => entries + groups.length + accepted > 0);
}

/** Readings stored a second, over a moment. */
export async function measureRate(db: Db, overMs = 1_000): Promise<number> {
  const count = async () => (await listTotals(db)).reduce((sum, { readings }) => sum + readings, 0);
  const [before, startMs] = [await count(), performance.now()];
  await delay(overMs);
  const rate = ((await count()) - before) / ((performance.now() - startMs) / 1000);
  return Math.round(rate * 10) / 10;
}
