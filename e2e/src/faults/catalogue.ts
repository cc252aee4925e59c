import { broker } from "./broker.ts";
import { commits } from "./commits.ts";
import { data } from "./data.ts";
import { disks } from "./disks.ts";
import type { Fault } from "./fault.ts";
import { host } from "./host.ts";
import { kills } from "./kills.ts";
import { losses } from "./losses.ts";
import { network } from "./network.ts";
import { servers } from "./servers.ts";
import { tls } from "./tls.ts";

/** Every fault there is, by id. */
export const faults: readonly Fault[] = [
  ...kills,
  ...network,
  ...servers,
  ...commits,
  ...losses,
  ...data,
  ...disks,
  ...broker,
  ...tls,
  ...host,
].sort((a, b) => a.id.localeCompare(b.id));

/** Those of a list of ids; `F45` means `F45-memory` and its siblings too. Ids that nobody has are given apart. */
export function selectFaults(ids: readonly string[]): { found: readonly Fault[]; unknown: string[] } {
  const fits = (fault: Fault, id: string) => fault.id === id || fault.id.startsWith(`${id}-`);
  return {
    found: faults.filter((fault) => ids.some((id) => fits(fault, id))),
    unknown: ids.filter((id) => !faults.some((fault) => fits(fault, id))),
  };
}

/** Faults that `--settled` leaves out: an open question (docs/faults.md, "Known"), or too few runs to be sure of. */
export const UNSETTLED: Readonly<Record<string, string>> = {
  F06: "redelivered messages may be two points in InfluxDB",
  "F16-future": "redelivered messages may be two points in InfluxDB",
  F32: "the bus does not name what a consumer removed by hand took with it",
  F11: "needs a queue that really overflows, which a slow machine does not always fill",
  F13: "asks the broker about sessions, which a slow machine answers late",
  "F18-everysec": "how much is lost is up to the disk",
  F20: "messages of a slow run may outlive the publisher's patience",
  F21: "the words of the log line are being settled",
  F22: "not run again since the log was limited",
  F40: "PostgreSQL on a full disk answers and cannot write: readiness does not see it",
  ...Object.fromEntries(
    // each held, in fewer than five runs
    [
      "F02-broker",
      "F05",
      "F07",
      "F08",
      "F09",
      "F12",
      "F14",
      "F16-ca",
      "F16-expired",
      "F18",
      "F27",
      "F36",
      "F38",
    ]
      .concat(["F45-cpu", "F45-files", "F45-heap", "F45-log", "F45-memory", "X10"])
      .map((id) => [id, "seen in fewer than five runs"]),
  ),
};
