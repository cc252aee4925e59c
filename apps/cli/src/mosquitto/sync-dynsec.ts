import type { Credential } from "@sluice/shared-types";
import { CommandError } from "../command-error.ts";
import type { Dynsec, DynsecCommand } from "./open-dynsec.ts";

interface Acl {
  acltype: string;
  topic: string;
  priority: number;
  allow: boolean;
}

interface Known {
  username: string;
  textname?: string;
  disabled?: boolean;
  roles?: { rolename: string }[];
}

/** What a sync did. */
export interface SyncReport {
  created: string[];
  changed: string[];
  removed: string[];
}

/** Marks what is ours among the broker's clients; others are left alone. */
const OURS = "Sluice device";
const roleOf = (username: string) => `sluice-${username}`;
/** For the user of the gateway itself. */
const GATEWAY_ROLE = "sluice-gateway";

/**
 * Makes the plugin's clients and roles what the credentials say: one client and one role each, disabled where the
 * credential is, gone where it is gone. Passwords cannot be carried over, for nobody has them in clear text: a new
 * client cannot log in before `setPassword`.
 */
export async function syncDynsec(
  dynsec: Dynsec,
  credentials: readonly Credential[],
  root: string,
): Promise<SyncReport> {
  const [clientList, roleList] = await dynsec.run([
    { command: "listClients", verbose: true },
    { command: "listRoles", verbose: true },
  ]);
  const clients = new Map(
    ((clientList?.data?.clients ?? []) as Known[]).map((known) => [known.username, known]),
  );
  const roles = new Map(
    ((roleList?.data?.roles ?? []) as { rolename: string; acls?: Acl[] }[]).map((role) => [
      role.rolename,
      role,
    ]),
  );
  const report: SyncReport = { created: [], changed: [], removed: [] };
  const commands: DynsecCommand[] = [];
  const wantRole = (rolename: string, acls: Acl[]): boolean => {
    const known = roles.get(rolename);
    if (known && fingerprint(known.acls ?? []) === fingerprint(acls)) return false;
    commands.push({ command: known ? "modifyRole" : "createRole", rolename, acls });
    return known !== undefined;
  };
  wantRole(GATEWAY_ROLE, gatewayAcls(root));
  for (const { username, devices, status } of credentials) {
    const changed = wantRole(roleOf(username), deviceAcls(root, devices));
    const known = clients.get(username);
    if (known && known.textname !== OURS) {
      throw new CommandError(`Mosquitto has a client "${username}" that is not ours: rename or remove it`);
    }
    if (!known) {
      const role = [{ rolename: roleOf(username) }];
      commands.push({ command: "createClient", username, textname: OURS, roles: role });
      report.created.push(username);
    } else if (changed) report.changed.push(username);
    if ((known?.disabled ?? false) !== (status === "disabled")) {
      commands.push({ command: status === "disabled" ? "disableClient" : "enableClient", username });
      if (known && !changed) report.changed.push(username);
    }
  }
  const wanted = new Set(credentials.map(({ username }) => username));
  for (const { username, textname } of clients.values()) {
    if (textname !== OURS || wanted.has(username)) continue;
    commands.push({ command: "deleteClient", username });
    if (roles.has(roleOf(username))) commands.push({ command: "deleteRole", rolename: roleOf(username) });
    report.removed.push(username);
  }
  await carryOut(dynsec, commands);
  return report;
}

/** Gives a client its password; the sessions it has are ended. */
export async function setPassword(dynsec: Dynsec, username: string, password: string): Promise<void> {
  await carryOut(dynsec, [{ command: "setClientPassword", username, password }]);
}

async function carryOut(dynsec: Dynsec, commands: readonly DynsecCommand[]): Promise<void> {
  const failed = (await dynsec.run(commands)).find(({ error }) => error !== undefined);
  if (failed) throw new CommandError(`Mosquitto refused ${failed.command}: ${failed.error}`);
}

const allow = (acltype: string, topics: readonly string[]): Acl[] =>
  topics.map((topic) => ({ acltype, topic, priority: 0, allow: true }));

/** What a device may: the same as at the built-in broker. */
function deviceAcls(root: string, devices: readonly string[]): Acl[] {
  const send = devices.flatMap((id) => [
    ...["telemetry", "telemetry/+", "status/+", "commands/+/result"].map((t) => `${root}/devices/${id}/${t}`),
    `${root}/lwt/devices/${id}`,
  ]);
  const hear = devices.flatMap((id) =>
    ["commands/+", "config", "ack", "rejected"].map((t) => `${root}/devices/${id}/${t}`),
  );
  const all = [`${root}/fleet/commands/+`, `${root}/system/+`];
  return [
    ...allow("publishClientSend", [...send, `${root}/fleet/status/+`]),
    ...allow("subscribePattern", [...hear, ...all]),
  ];
}

function gatewayAcls(root: string): Acl[] {
  // The plugin looks at a shared subscription with its prefix.
  const hear = [`${root}/#`, `$share/sluice/${root}/#`, "$SYS/broker/publish/messages/dropped"];
  return [...allow("publishClientSend", [`${root}/#`]), ...allow("subscribePattern", hear)];
}

const fingerprint = (acls: readonly Acl[]) =>
  acls
    .map(({ acltype, topic, allow, priority }) => `${acltype} ${topic} ${allow} ${priority}`)
    .sort()
    .join("\n");
