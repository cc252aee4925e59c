import { type Fault, type Injection, repeatFor } from "./fault.ts";

type Link = "redis" | "postgres" | "influx" | "mqtt";

/** Reconnects a second that are still no storm: some ten connections, cut three times a second. */
const MOST_CONNECTIONS_PER_CUT = 40;

const cut = (link: Link) => async (injection: Injection) => {
  const proxy = injection.rig.proxies[link];
  const before = proxy.accepted;
  let cuts = 0;
  await repeatFor(injection, injection.loadSeconds * 700, [200, 400], () => {
    cuts++;
    proxy.cutAll();
  });
  const each = (proxy.accepted - before) / Math.max(1, cuts);
  injection.expect("O6", each <= MOST_CONNECTIONS_PER_CUT, `${each.toFixed(1)} new connections for each cut`);
};

const hold =
  (link: Link, ms: number) =>
  async ({ rig, sleep, random, undo }: Injection) => {
    await sleep(random(500, 1500));
    undo(() => rig.proxies[link].resume());
    rig.proxies[link].pause();
    await sleep(ms);
  };

const loseReplies = (link: Link) => (injection: Injection) =>
  repeatFor(injection, injection.loadSeconds * 600, [800, 1600], async () => {
    const proxy = injection.rig.proxies[link];
    injection.undo(() => proxy.dropReplies(false));
    proxy.dropReplies();
    await injection.sleep(injection.random(200, 700));
    proxy.dropReplies(false);
    proxy.cutAll();
  });

/** The gateway's PUBACKs to Mosquitto are its requests: with nothing coming back, a cut loses them. */
const losePubacks = (injection: Injection) =>
  repeatFor(injection, injection.loadSeconds * 600, [800, 1600], async () => {
    const proxy = injection.rig.proxies.mqtt;
    injection.undo(() => proxy.dropRequests(false));
    proxy.dropRequests();
    await injection.sleep(injection.random(200, 700));
    proxy.dropRequests(false);
    proxy.cutAll();
  });

/** Connections cut, held and robbed of their replies. */
export const network: readonly Fault[] = [
  { id: "F05", title: "gateway-broker: TCP reset every 300 ms", rig: "broker", inject: cut("mqtt") },
  {
    id: "F06",
    title: "gateway-broker: silent black hole for longer than 1.5 x keepalive",
    rig: "broker",
    names: "gateway",
    says: /broker|mqtt/i,
    inject: hold("mqtt", 50_000),
    load: { seconds: 60, rate: 100 },
  },
  { id: "F07", title: "gateway-broker: the gateway's PUBACKs vanish", rig: "broker", inject: losePubacks },
  { id: "X04", title: "redis: connections reset every 300 ms", quick: true, inject: cut("redis") },
  { id: "X05", title: "redis: replies vanish", inject: loseReplies("redis") },
  { id: "X06", title: "postgres: connections reset every 300 ms", inject: cut("postgres") },
  { id: "X07", title: "postgres: silent black hole", names: "postgres", inject: hold("postgres", 8000) },
  { id: "X08", title: "influx: replies vanish", inject: loseReplies("influx") },
  { id: "X09", title: "devices: TCP reset every 300 ms", inject: cut("mqtt") },
  { id: "X10", title: "devices: silent black hole", inject: hold("mqtt", 8000) },
  { id: "X11", title: "devices: PUBACKs vanish", quick: true, inject: loseReplies("mqtt") },
  { id: "X12", title: "postgres: replies vanish", inject: loseReplies("postgres") },
];
