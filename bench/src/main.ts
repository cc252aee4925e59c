/** `npm run bench -- <case> [--seconds N] [--json]`: measures this machine; see docs/benchmarks.md. */
import { parseArgs } from "node:util";
import { benchApi } from "./api.ts";
import { benchConnections } from "./connections.ts";
import { benchDrain, INFLUX, POSTGRES } from "./drain.ts";
import { benchE2e } from "./e2e.ts";
import { benchEtl } from "./etl.ts";
import { benchHttp } from "./http.ts";
import { benchImport } from "./import.ts";
import { benchMachines } from "./machines.ts";
import { benchMosquitto } from "./mosquitto.ts";
import { READINGS_PER_MESSAGE } from "./payload.ts";
import { benchScale } from "./scale.ts";

const USAGE = `Usage: npm run bench -- <case> [--seconds N] [--rate N] [--messages N] [--readings N] [--days N]
                               [--connections N] [--json]

Cases:
  e2e       MQTT QoS 1 into the built-in broker, committed rows out; group postgres alone
  e2e-all   the same with InfluxDB written beside it
  mosquitto devices on an external Mosquitto, followed by the gateway
  http      batches over HTTP
  influx    a backlog is written to InfluxDB
  drain     a backlog of 1 million messages is stored
  connections  10,000 devices connect at once and are idle; [--connections N]
  api       newest values and 30-day charts over 10 million readings; [--readings N]
  scale     a backlog is stored by 1, 2 and 4 workers on 1 and 4 partitions
  etl       8.64 million readings of 1,000 sensors are rolled up, with 100,000 late ones; [--readings N]
  import    CSV, line protocol and JSON lines against plain COPY of the same; [--readings N]
  machines  a machine's log is aggregated, twice; [--days N], by default a year of 10 million rows

Example: npm run bench -- e2e --seconds 60 --json
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string", default: "60" },
    rate: { type: "string", default: "80000" },
    messages: { type: "string", default: "1000000" },
    readings: { type: "string", default: "8640000" },
    days: { type: "string", default: "365" },
    connections: { type: "string", default: "10000" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

const say = (text: string) => void process.stderr.write(`bench: ${text}\n`);
const seconds = Number(values.seconds);
const cases: Record<string, () => Promise<object>> = {
  e2e: () => benchE2e({ seconds, halfLoad: Number(values.rate), influx: false }, say),
  "e2e-all": () => benchE2e({ seconds, halfLoad: Number(values.rate), influx: true }, say),
  http: () => benchHttp({ seconds }, say),
  mosquitto: () => benchMosquitto({ seconds, rate: Number(values.rate) / READINGS_PER_MESSAGE }, say),
  connections: () => benchConnections({ connections: Number(values.connections) }, say),
  drain: () => benchDrain(POSTGRES, { messages: Number(values.messages) }, say),
  etl: () =>
    benchEtl(
      {
        readings: Number(values.readings),
        sensors: 1000,
        late: 100_000,
        ingestSeconds: Math.min(seconds, 20),
      },
      say,
    ),
  api: () => benchApi({ readings: Number(values.readings), seconds: Math.min(seconds, 20) }, say),
  import: () => benchImport({ readings: Number(values.readings) }, say),
  machines: () => benchMachines({ days: Number(values.days) }, say),
  scale: () => benchScale({ messages: Number(values.messages) }, say),
  influx: () => benchDrain(INFLUX, { messages: Number(values.messages) }, say),
};

const chosen = cases[positionals[0] ?? ""];
if (values.help || !chosen || !(seconds > 0)) {
  (values.help ? process.stdout : process.stderr).write(USAGE);
  process.exitCode = values.help ? 0 : 2;
} else {
  const report = await chosen();
  process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : `${JSON.stringify(report, null, 2)}\n`);
}
