import type { LogVariable, MachineRole, NamedVariable } from "@sluice/db";

/** A variable with what it is for. */
export interface RoleVariable extends LogVariable {
  /** Of a motor its nominal kW, of a sensor what its values are multiplied by. */
  readonly factor: number;
}

/** Which variables of a machine are for what. */
export type Roles = Readonly<Record<MachineRole, readonly RoleVariable[]>>;

interface UsualVariable {
  readonly role: MachineRole;
  /** In the document's source database. */
  readonly id: number;
  readonly name: RegExp;
  readonly factor: number;
}

// Spanish and English, and either order: UTILIZACION_EJE_X, AXIS_X_MOTOR_UTILIZACION, AXIS_Y_MOTOR_UTILIZATION
const axis = (letter: string) =>
  new RegExp(
    `UTILI[ZS]A[CT]I[OÓ]N.*(AXIS|EJE)_?${letter}|(AXIS|EJE)_?${letter}(_.*)?UTILI[ZS]A[CT]I[OÓ]N`,
    "i",
  );

const USUAL: readonly UsualVariable[] = [
  { role: "alarms", id: 447, name: /^ALARM(S|AS)$/i, factor: 1 },
  { role: "operation", id: 597, name: /^MACHINE_IN_OPERATION$/i, factor: 1 },
  { role: "emergency", id: 540, name: /^MACHINE_EMERGENCY$/i, factor: 1 },
  { role: "stop", id: 660, name: /^MACHINE_STOP_ACTIVE$/i, factor: 1 },
  { role: "program", id: 581, name: /^PROG_STATUS$/i, factor: 1 },
  { role: "motor", id: 537, name: axis("X"), factor: 15.1 },
  { role: "motor", id: 498, name: axis("Y"), factor: 15.1 },
  { role: "motor", id: 620, name: axis("Z"), factor: 15.71 },
  { role: "motor", id: 544, name: /^SPINDLE_LOAD_1$/i, factor: 37 },
  { role: "sensor", id: 651, name: /^TEMPERATURA_BASE$/i, factor: 0.01 },
];

/** Gives every role its variables: those named for it, else the document's, by name and, where none has it, by id. */
export function assignRoles(variables: readonly LogVariable[], named: readonly NamedVariable[]): Roles {
  const roles: Record<MachineRole, RoleVariable[]> = {
    alarms: [],
    operation: [],
    emergency: [],
    stop: [],
    program: [],
    motor: [],
    sensor: [],
  };
  for (const { role, variable, factor } of named) {
    const found =
      variables.find(({ name }) => name === variable) ?? variables.find(({ id }) => `${id}` === variable);
    if (found) roles[role].push({ ...found, factor });
  }
  for (const usual of USUAL) {
    if (named.some(({ role }) => role === usual.role)) continue;
    const alike = variables.filter(({ name }) => usual.name.test(name));
    const found =
      alike.find(({ id }) => id === usual.id) ?? alike[0] ?? variables.find(({ id }) => id === usual.id);
    if (found) roles[usual.role].push({ ...found, factor: usual.factor });
  }
  return roles;
}
