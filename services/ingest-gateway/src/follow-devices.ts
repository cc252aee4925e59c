import type { Outside } from "./command-ways.ts";
import type { Ingest } from "./ingest.ts";
import type { Subscriber } from "./subscribe.ts";

/** Ingest for what comes from another broker, which notes the devices that are heard of there. */
export interface FollowedDevices extends Pick<Ingest, "accept"> {
  /** Calls `listener` with a device that is heard of for the first time, or again after it went. */
  onHeard(listener: (devices: readonly string[]) => void): void;
  /** The other broker as a way to them. */
  through(subscriber: Subscriber): Outside;
}

const GONE = /\/status\/offline$|\/lwt\/devices\/[^/]+$/;
const MAX_DEVICES = 500_000;

/** Creates it over `ingest`. A device is reachable from its first message until it, or its last will, says it is gone. */
export function followDevices(ingest: Pick<Ingest, "accept">): FollowedDevices {
  const reachable = new Set<string>();
  let onHeard = (_devices: readonly string[]) => {};
  return {
    async accept(message) {
      const verdict = await ingest.accept(message);
      const { device } = verdict;
      if (device === undefined || !verdict.accepted || message.retained) return verdict;
      if (GONE.test(message.topic)) reachable.delete(device);
      else if (!reachable.has(device) && reachable.size < MAX_DEVICES) {
        reachable.add(device);
        onHeard([device]);
      }
      return verdict;
    },
    onHeard: (listener) => {
      onHeard = listener;
    },
    through: (subscriber) => ({
      publish: subscriber.publish,
      isUp: () => subscriber.states().some(({ is }) => is === "up"),
      isReachable: (device) => reachable.has(device),
    }),
  };
}
