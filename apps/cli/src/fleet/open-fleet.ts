import mqtt, { type IClientOptions, type MqttClient } from "mqtt";

/** How a fleet connects. */
export interface FleetOptions {
  /** `mqtt://`, `mqtts://`, `ws://` or `wss://`. */
  url: string;
  username: string;
  password: string;
  /** Over how many connections the devices are spread; all messages of a device go over one. */
  connections: number;
  /** Client ids are this with a number behind. */
  clientId: string;
  /** Further options of the client, such as certificates. */
  client?: IClientOptions;
}

/** Devices on real MQTT connections that ride out every loss of their connection. */
export interface Fleet {
  /** Resolves once every connection was accepted; rejects if that takes longer than `timeoutMs`. */
  ready(timeoutMs: number): Promise<void>;
  /**
   * Publishes with QoS 1 and calls `acknowledged` once the PUBACK is there, however many reconnects that
   * takes; the resent message is the same, byte for byte. Order is kept per device.
   */
  publish(device: number, topic: string, payload: string, acknowledged: () => void): void;
  /** Messages published and not acknowledged. */
  unacknowledged(): number;
  connected(): number;
  /** Connections that were lost, and the last reason a server gave. */
  losses(): { count: number; lastError: string | null };
  /** Disconnects. What is unacknowledged stays so. */
  close(): Promise<void>;
}

// more would only be sent again after a loss; what does not fit waits its turn here
const IN_FLIGHT = 256;
const RECONNECT_MS = 500;

interface Link {
  client: MqttClient;
  inFlight: number;
  waiting: Waiting[];
  head: number;
  accepted: boolean;
}
interface Waiting {
  topic: string;
  payload: string;
  acknowledged: () => void;
}

/** Starts connecting; see {@link Fleet.ready}. The caller closes it. */
export function openFleet(options: FleetOptions): Fleet {
  const losses: { count: number; lastError: string | null } = { count: 0, lastError: null };
  let unacknowledged = 0;
  let closing = false;
  const links = Array.from({ length: options.connections }, (_, i) => openLink(options, i));
  for (const link of links) {
    link.client.on("connect", () => {
      link.accepted = true;
    });
    link.client.on("error", (error) => {
      losses.lastError = describe(error);
    });
    link.client.on("close", () => {
      if (link.accepted && !closing) losses.count++;
      link.accepted = false;
    });
  }

  const pump = (link: Link) => {
    while (link.inFlight < IN_FLIGHT && link.head < link.waiting.length) {
      const next = link.waiting[link.head++];
      if (!next) break;
      link.inFlight++;
      link.client.publish(next.topic, next.payload, { qos: 1 }, (error) => {
        if (error) return; // only while closing: it stays unacknowledged
        link.inFlight--;
        unacknowledged--;
        next.acknowledged();
        pump(link);
      });
    }
    if (link.head > 1024 && link.head * 2 > link.waiting.length) {
      link.waiting = link.waiting.slice(link.head);
      link.head = 0;
    }
  };

  return {
    ready: (timeoutMs) => waitUntilConnected(links, losses, options.url, timeoutMs),
    publish(device, topic, payload, acknowledged) {
      const link = links[device % links.length];
      if (!link) throw new RangeError("a fleet has at least one connection");
      unacknowledged++;
      link.waiting.push({ topic, payload, acknowledged });
      pump(link);
    },
    unacknowledged: () => unacknowledged,
    connected: () => links.filter((link) => link.client.connected).length,
    losses: () => losses,
    async close() {
      closing = true;
      await Promise.all(links.map(({ client }) => client.endAsync(unacknowledged > 0).catch(() => {})));
    },
  };
}

function openLink(options: FleetOptions, index: number): Link {
  const client = mqtt.connect(options.url, {
    username: options.username,
    password: options.password,
    clientId: `${options.clientId}-${index + 1}`,
    keepalive: 15,
    connectTimeout: 10_000,
    // spread, so that a fleet does not come back all at once
    reconnectPeriod: RECONNECT_MS + (index % 16) * 31,
    reschedulePings: true,
    resubscribe: false,
    ...options.client,
  });
  return { client, inFlight: 0, waiting: [], head: 0, accepted: false };
}

function waitUntilConnected(
  links: readonly Link[],
  losses: { lastError: string | null },
  url: string,
  timeoutMs: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const check = () => {
      if (!links.every(({ client }) => client.connected)) return;
      stop();
      resolve();
    };
    const timer = setTimeout(() => {
      stop();
      const connected = links.filter(({ client }) => client.connected).length;
      const why = losses.lastError ? `: ${losses.lastError}` : "";
      reject(
        new Error(`${connected} of ${links.length} connections to ${url} within ${timeoutMs / 1000} s${why}`),
      );
    }, timeoutMs);
    const stop = () => {
      clearTimeout(timer);
      for (const { client } of links) client.off("connect", check);
    };
    for (const { client } of links) client.on("connect", check);
    check();
  });
}

function describe(error: Error): string {
  const code = "code" in error ? String(error.code) : "";
  if (error instanceof AggregateError) return error.errors.map(String).join("; ") || code;
  return error.message || code;
}
