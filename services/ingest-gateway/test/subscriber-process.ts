// A gateway in a process of its own, to be killed. Usage: subscriber-process.ts '<GatewayOptions as JSON>'
import { once } from "node:events";
import { type GatewayOptions, openGateway } from "./subscriber-gateway.ts";

const gateway = await openGateway(JSON.parse(process.argv[2] ?? "{}") as GatewayOptions);
for (;;) {
  try {
    await gateway.subscriber.ping();
    break;
  } catch {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
process.stdout.write("ready\n");
// Whoever started this holds its standard input; when that ends, so does this.
process.stdin.resume();
await once(process.stdin, "end");
process.exit(0);
