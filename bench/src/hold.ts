/**
 * A process that holds connections: opens as many as it is told, all at once, each with a client id of its own, says
 * `{connected, seconds}` in one JSON line, and keeps them until its standard input ends. Options come as JSON in the first
 * argument.
 */
import { openPublisher } from "./publisher.ts";

/** What it is told. */
export interface HoldOptions {
  host: string;
  port: number;
  username: string;
  password: string;
  connections: number;
}

/** What it says when all are connected. */
export interface HoldReport {
  connected: number;
  seconds: number;
}

const options = JSON.parse(process.argv[2] ?? "") as HoldOptions;
const startedMs = performance.now();
const open = await Promise.all(
  Array.from({ length: options.connections }, (_, i) =>
    openPublisher({
      ...options,
      clientId: `hold-${process.pid}-${i}`,
      packets: [],
      window: 1,
      onAck: () => {},
      onClose: () => {},
    }),
  ),
);
const report: HoldReport = { connected: open.length, seconds: (performance.now() - startedMs) / 1000 };
process.stdout.write(`${JSON.stringify(report)}\n`);
process.stdin.on("end", () => process.exit()).resume();
