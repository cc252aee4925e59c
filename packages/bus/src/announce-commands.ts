import { streamKey } from "@sluice/shared-types";
import type { Bus } from "./bus.ts";

/** Group that lets the commands stream be trimmed; every gateway reads the tail for itself. */
export const COMMANDS_GROUP = "gateway";

/** What the commands stream carries: devices that something waits for in the database. */
export interface CommandsNews {
  /** Commands wait for these. */
  devices: readonly string[];
  /** These have a new configuration. */
  configured?: readonly string[];
}

const DEVICES_PER_MESSAGE = 1000;

/**
 * Tells every gateway that commands, or a configuration, wait for devices: each looks whether it has their
 * connections. Call it after the commit that made them. Rejects with OutageError where the bus cannot be reached;
 * nothing is lost by that, since gateways also look by themselves every few seconds.
 */
export async function announceCommands(
  bus: Pick<Bus, "ensureGroup" | "publish">,
  { devices, configured = [] }: CommandsNews,
): Promise<void> {
  const messages: string[] = [];
  for (let i = 0; i < devices.length; i += DEVICES_PER_MESSAGE)
    messages.push(JSON.stringify({ devices: devices.slice(i, i + DEVICES_PER_MESSAGE) }));
  if (configured.length > 0) messages.push(JSON.stringify({ devices: [], configured }));
  if (messages.length === 0) return;
  const stream = streamKey("commands");
  await bus.ensureGroup(stream, COMMANDS_GROUP);
  await bus.publish(stream, messages);
}
