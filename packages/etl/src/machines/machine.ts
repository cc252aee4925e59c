import {
  adoptMachines,
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

/** A log with what its variables are for. */
export interface MachineVariables {
  readonly log: MachineLog;
  readonly variables: readonly number[];
  readonly roles: Roles;
}

/** A machine with a log, ready to be aggregated. */
export interface LoggedMachine extends MachineVariables {
  readonly machineId: string;
  /** Its first and its last row: before and after nothing is known. */
  readonly span: TimeRange;
  /** Where its figures go; undefined for our own database. */
  readonly target: Db | undefined;
}

/** The log of a machine; undefined where it has neither a device nor a source database. */
export async function findMachineVariables(
  db: Db,
  { deviceId, sourceVariables, named }: Machine,
  stores: MachineStores,
): Promise<MachineVariables | undefined> {
  const source = deviceId === null ? await stores.source() : undefined;
  const log = deviceId !== null ? readLiveLog(db, deviceId) : source && readDocumentLog(source);
  if (!log) return undefined;
  const all = await log.listVariables();
  const own =
    deviceId !== null || sourceVariables === null
      ? all
      : all.filter(({ id }) => sourceVariables.includes(id));
  return { log, variables: own.map(({ id }) => id), roles: assignRoles(own, named) };
}

/** Every machine that has logged anything; devices that are machines by their type are among them. */
export async function listLoggedMachines(db: Db, stores: MachineStores): Promise<LoggedMachine[]> {
  const target = await stores.target();
  await adoptMachines(db, (await stores.source()) === undefined);
  const machines: LoggedMachine[] = [];
  for (const machine of await listMachines(db)) {
    const found = await findMachineVariables(db, machine, stores);
    const span = await found?.log.findSpan(found.variables);
    if (found && span) machines.push({ machineId: machine.machineId, ...found, span, target });
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
