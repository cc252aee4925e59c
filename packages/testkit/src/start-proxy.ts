import { connect, createServer, type Socket } from "node:net";

/** A TCP proxy on loopback that makes faults between a client and a server. */
export interface FaultProxy {
  readonly port: number;
  /** How many connections were ever accepted. */
  readonly accepted: number;
  /** How many connections are open now. */
  readonly open: number;
  /** How many chunks were ever lost on purpose. */
  readonly lost: number;
  /** Resets every open connection; new ones are accepted. */
  cutAll(): void;
  /** Holds every byte in both directions, as a network that swallows packets does. */
  pause(): void;
  /** Lets held bytes go on. */
  resume(): void;
  /** Holds every chunk in both directions for this long; 0 ends it. */
  delay(delayMs: number): void;
  /** Lets requests through but loses the replies, from now on or until `false`. */
  dropReplies(drop?: boolean): void;
  /** The other way round: requests are lost, replies come through. */
  dropRequests(drop?: boolean): void;
  /** Closes new connections at once, from now on or until `false`. */
  refuse(refuse?: boolean): void;
  /** Where new connections go from now on. */
  retarget(port: number): void;
  close(): Promise<void>;
}

/** Hears the bytes of one connection before they are passed on. */
export interface ConnectionObserver {
  /** From the client. */
  request?(chunk: Buffer): void;
  /** From the server. */
  reply?(chunk: Buffer): void;
  closed?(): void;
}

/** Options of {@link startProxy}. */
export interface ProxyOptions {
  /** Called for each new connection. */
  observe?(): ConnectionObserver;
  /** Gives what the client gets in place of a chunk of the server's. */
  rewrite?(reply: Buffer): Buffer;
}

/** Starts a proxy to a loopback port. */
export async function startProxy(targetPort: number, options: ProxyOptions = {}): Promise<FaultProxy> {
  let target = targetPort;
  const pairs = new Set<Pair>();
  const fault: Fault = { paused: false, delayMs: 0, dropReplies: false, dropRequests: false, lost: 0 };
  let refusing = false;
  let accepted = 0;
  const server = createServer((client) => {
    if (refusing) return void client.resetAndDestroy();
    accepted++;
    const observer = options.observe?.() ?? {};
    const pair = join(client, connect({ port: target, host: "127.0.0.1" }), fault, {
      ...options,
      observer,
    });
    pairs.add(pair);
    client.once("close", () => {
      pairs.delete(pair);
      observer.closed?.();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const cutAll = () => {
    for (const pair of pairs) pair.cut();
  };
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    get accepted() {
      return accepted;
    },
    get open() {
      return pairs.size;
    },
    get lost() {
      return fault.lost;
    },
    cutAll,
    pause() {
      fault.paused = true;
    },
    resume() {
      fault.paused = false;
      for (const pair of pairs) pair.flush();
    },
    delay(delayMs) {
      fault.delayMs = delayMs;
    },
    dropReplies(drop = true) {
      fault.dropReplies = drop;
    },
    dropRequests(drop = true) {
      fault.dropRequests = drop;
    },
    refuse(refuse = true) {
      refusing = refuse;
    },
    retarget(port) {
      target = port;
    },
    close() {
      cutAll();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

interface Fault {
  paused: boolean;
  delayMs: number;
  dropReplies: boolean;
  dropRequests: boolean;
  lost: number;
}

interface Pair {
  cut(): void;
  flush(): void;
}

function join(
  client: Socket,
  server: Socket,
  fault: Fault,
  { observer, rewrite }: Pick<ProxyOptions, "rewrite"> & { observer: ConnectionObserver },
): Pair {
  const cut = () => {
    client.resetAndDestroy();
    server.resetAndDestroy();
  };
  client.on("data", (chunk) => observer.request?.(chunk));
  server.on("data", (chunk) => observer.reply?.(chunk));
  const forward = carry(client, server, fault, () => fault.dropRequests);
  const back = carry(server, client, fault, () => fault.dropReplies, rewrite);
  for (const socket of [client, server]) {
    socket.setNoDelay(true);
    socket.on("error", cut);
    socket.on("close", cut);
  }
  return {
    cut,
    flush() {
      forward();
      back();
    },
  };
}

/** Carries bytes in order; gives a function that sends what was held. */
function carry(
  from: Socket,
  to: Socket,
  fault: Fault,
  lose: () => boolean,
  rewrite = (chunk: Buffer) => chunk,
): () => void {
  const held: (Buffer | "end")[] = [];
  let lastDueMs = 0;
  const flush = () => {
    if (fault.paused) return;
    for (const item of held.splice(0)) {
      if (to.destroyed) return;
      if (item === "end") to.end();
      else if (lose()) fault.lost++;
      else to.write(item);
    }
  };
  const delayed: { item: Buffer | "end"; dueMs: number }[] = [];
  const release = () => {
    for (let first = delayed[0]; first && first.dueMs <= performance.now(); first = delayed[0]) {
      held.push(first.item);
      delayed.shift();
    }
    flush();
  };
  const take = (item: Buffer | "end") => {
    // Never before an earlier chunk: the delay may have been longer then.
    lastDueMs = Math.max(lastDueMs, performance.now() + fault.delayMs);
    delayed.push({ item, dueMs: lastDueMs });
    const waitMs = lastDueMs - performance.now();
    // Timers are a little early sometimes; what is due is decided by the clock, in order.
    if (waitMs > 0) setTimeout(release, Math.ceil(waitMs) + 1);
    else release();
  };
  from.on("data", (chunk) => take(rewrite(chunk)));
  from.on("end", () => take("end"));
  return flush;
}
