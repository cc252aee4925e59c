// One PostgreSQL for a whole test run: started when the first test file asks, ended when input ends.
import { createServer } from "node:http";
import { type Server, startPostgres } from "@sluice/servers";

let starting: Promise<Server> | undefined;

const front = createServer((_request, response) => {
  response.setHeader("connection", "close"); // an idle connection closed from here might just be used from there
  starting ??= startPostgres({ settings: { fsync: "off", max_connections: "200", shared_buffers: "128MB" } });
  starting.then(
    ({ url }) => response.end(url),
    (error: unknown) => response.writeHead(500).end(String(error)),
  );
});

front.listen(0, "127.0.0.1", () => {
  const address = front.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  process.stdout.write(`http://127.0.0.1:${port}\n`);
});

process.stdin.resume();
process.stdin.once("end", async () => {
  front.close();
  front.closeAllConnections();
  await (await starting?.catch(() => undefined))?.stop();
});
