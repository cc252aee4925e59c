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

/** Faults that `--settled` leaves out: held in every run on a quiet machine, and near their bounds there already. */
export const UNSETTLED: Readonly<Record<string, string>> = {
  F06: "recovers in up to 23 of the 30 s that it has; a busy machine takes longer",
  F11: "27,000 messages have to overflow a queue and drain in time, which a busy machine does not manage",
};
