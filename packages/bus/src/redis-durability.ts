import type { Redis } from "ioredis";
import type { Log } from "./log.ts";

/**
 * Checks that what Redis acknowledges is kept: every append fsynced, nothing evicted. What is wrong is
 * logged, or with `required` rejected; where the server does not let us look, it only warns.
 */
export async function checkDurability(redis: Redis, required: boolean, log: Log): Promise<void> {
  const read = async (name: string): Promise<string | undefined> => {
    const reply = (await redis.call("CONFIG", "GET", name)) as string[];
    return reply[1];
  };
  let settings: {
    appendonly: string | undefined;
    appendfsync: string | undefined;
    policy: string | undefined;
  };
  try {
    const [appendonly, appendfsync, policy] = await Promise.all(
      ["appendonly", "appendfsync", "maxmemory-policy"].map(read),
    );
    settings = { appendonly, appendfsync, policy };
  } catch (error) {
    log.warn(
      { err: error },
      "Redis does not let us check its durability settings; see that appendfsync is always",
    );
    return;
  }
  const wrong: string[] = [];
  if (settings.appendonly !== "yes") wrong.push("appendonly is not yes");
  if (settings.appendfsync !== "always") wrong.push("appendfsync is not always");
  if (settings.policy !== "noeviction") wrong.push("maxmemory-policy is not noeviction");
  if (wrong.length === 0) return;
  const text = `acknowledged messages may be lost: Redis ${wrong.join(", ")}`;
  if (required) throw new Error(text);
  log.warn({ settings }, text);
}
