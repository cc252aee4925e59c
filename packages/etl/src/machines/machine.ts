import {
  type Db,
  type LogSample,
  listMachines,
  type Machine,
  type MachineLog,
  type MachineRole,
  readDocumentLog,
  readLiveLog,
  type TimeRange,
} from "@sluice/db";
import { assignRoles, type Roles } from "./roles.ts";
import type { MachineStores } from "./stores.ts";

/** A machine with a log, ready to be aggregated. */
export interface LoggedMachine {
  readonly machineId: string;
  readonly log: MachineLog;
  /** Every variable of its log. */
  readonly variables: readonly number[];
  readonly roles: Roles;
  /** Its first and its last row: before and after nothing is known. */
  readonly span: TimeRange;
  /** Where its figures go; undefined for our own database. */
  readonly target: Db | undefined;
}

/** The log of a machine; undefined where it has neither a device nor a source database. */
export async function findMachineLog(
  db: Db,
  { deviceId }: Machine,
  stores: MachineStores,
): Promise<MachineLog | undefined> {
  if (deviceId !== null) return readLiveLog(db, deviceId);
  const source = await stores.source();
  return source && readDocumentLog(source);
}

/** Every machine that has logged anything. */
export async function listLoggedMachines(db: Db, stores: MachineStores): Promise<LoggedMachine[]> {
  const target = await stores.target();
  const machines: LoggedMachine[] = [];
  for (const machine of await listMachines(db)) {
    const log = await findMachineLog(db, machine, stores);
    const { machineId, sourceVariables, named } = machine;
    const all = (await log?.listVariables()) ?? [];
    const own = sourceVariables === null ? all : all.filter(({ id }) => sourceVariables.includes(id));
    const variables = own.map(({ id }) => id);
    const span = await log?.findSpan(variables);
    if (log && span)
      machines.push({ machineId, log, variables, roles: assignRoles(own, named), span, target });
  }
  return machines;
}

/** Ids of the variables of some roles. */
export const idsOf = ({ roles }: LoggedMachine, ...wanted: MachineRole[]): number[] =>
  wanted.flatMap((role) => roles[role].map(({ id }) => id));

/** Samples of the variables of a role. */
export const samplesOfRole = (
  { roles }: LoggedMachine,
  role: MachineRole,
  samples: ReadonlyMap<number, readonly LogSample[]>,
): LogSample[][] => roles[role].map(({ id }) => [...(samples.get(id) ?? [])]);
