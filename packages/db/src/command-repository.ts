import { NotFoundError } from "@sluice/shared-types";
import type { Queries } from "./open-db.ts";

/**
 * How far a command got: `pending` waits for its device; `sent` has left, and whether it arrived is not known;
 * `delivered` was acknowledged by the device; then what the device said, or `timeout` where it expired before it
 * was delivered.
 */
export type CommandStatus = "pending" | "sent" | "delivered" | "executed" | "failed" | "timeout";

/** Why a command is there. */
export interface CommandOrigin {
  source: "api" | "alert" | "cli";
  /** The person behind it. */
  userId?: number | undefined;
  /** A command with a key that is there already is not made again. */
  dedupeKey?: string | undefined;
}

/** A command to one device. */
export interface NewCommand extends CommandOrigin {
  device: string;
  /** Last level of its topic: 1-64 letters, digits, `_`, `-` or `.`. */
  type: string;
  payload: object;
  /** After this long without delivery it is not sent any more. Default 5 minutes. */
  lifeMs?: number | undefined;
  /** 1 is the most urgent. */
  priority?: number | undefined;
}

/** A command, with how far it got. */
export interface Command {
  /** What the device sees and answers with: a number, or `fleet-<number>`. */
  wireId: string;
  id: number;
  device: string;
  /** The group it was sent to as a whole. */
  group: string | null;
  type: string;
  payload: Record<string, unknown>;
  status: CommandStatus;
  source: string;
  priority: number;
  issuedBy: number | null;
  issuedAt: Date;
  sentAt: Date | null;
  deliveredAt: Date | null;
  executedAt: Date | null;
  expiresAt: Date | null;
  result: unknown;
  error: string | null;
}

/** How long a command waits for its device unless said otherwise. */
export const COMMAND_LIFE_MS = 5 * 60_000;

const COLUMNS = `coalesce('fleet-' || c.fleet_command_id, c.id::text) AS "wireId", c.id, d.device_code AS device,
  f.group_name AS "group", c.command_type AS type, c.command_payload AS payload, c.status, c.source, c.priority,
  c.issued_by AS "issuedBy", c.issued_at AS "issuedAt", c.sent_at AS "sentAt", c.delivered_at AS "deliveredAt",
  c.executed_at AS "executedAt", c.expires_at AS "expiresAt", c.execution_result AS result, c.error_message AS error`;

const FROM = `iot.device_commands c JOIN iot.devices d ON d.id = c.device_id
  LEFT JOIN iot.fleet_commands f ON f.id = c.fleet_command_id`;

/**
 * Makes a command that waits for its device. It is kept before this resolves (or with the caller's transaction);
 * tell the gateways afterwards with `announceCommands` of the bus, or they find it by themselves within seconds.
 * @throws NotFoundError where there is no such device
 */
export async function createCommand(db: Queries, command: NewCommand): Promise<Command> {
  const { device, type, payload, source, userId, dedupeKey, priority } = command;
  const [made] = await db.query<{ id: number }>(
    `INSERT INTO iot.device_commands (device_id, command_type_id, command_type, command_payload, source, issued_by,
                                      dedupe_key, priority, expires_at)
     SELECT d.id, (SELECT t.id FROM iot.command_types t WHERE t.name = $2), $2, $3, $4,
            $5::int, $6, $7, now() + $8::float8 * INTERVAL '1 ms'
       FROM iot.devices d WHERE d.device_code = $1 AND d.removed_at IS NULL
     ON CONFLICT (dedupe_key) DO UPDATE SET dedupe_key = excluded.dedupe_key RETURNING id`,
    [
      device,
      type,
      JSON.stringify(payload),
      source,
      userId ?? null,
      dedupeKey ?? null,
      priority ?? 5,
      command.lifeMs ?? COMMAND_LIFE_MS,
    ],
  );
  if (!made) throw new NotFoundError(`no device '${device}'`);
  return getCommand(db, made.id);
}

/** One command. @throws NotFoundError */
export async function getCommand(db: Queries, id: number): Promise<Command> {
  const [command] = await db.query<Command>(`SELECT ${COLUMNS} FROM ${FROM} WHERE c.id = $1`, [id]);
  if (!command) throw new NotFoundError(`no command ${id}`);
  return command;
}

/** Which commands; everything given must hold. */
export interface CommandFilter {
  device?: string | undefined;
  group?: string | undefined;
  /** Parts of one fleet command. */
  fleetCommandId?: number | undefined;
  status?: CommandStatus | undefined;
  beforeId?: number | undefined;
}

/** The newest commands first. */
export function listCommands(db: Queries, filter: CommandFilter, limit: number): Promise<Command[]> {
  return db.query<Command>(
    `SELECT ${COLUMNS} FROM ${FROM}
      WHERE ($1::text IS NULL OR d.device_code = $1) AND ($2::text IS NULL OR f.group_name = $2)
        AND ($3::text IS NULL OR c.status = $3) AND ($4::int8 IS NULL OR c.id < $4)
        AND ($5::int8 IS NULL OR c.fleet_command_id = $5)
      ORDER BY c.id DESC LIMIT $6`,
    [
      filter.device ?? null,
      filter.group ?? null,
      filter.status ?? null,
      filter.beforeId ?? null,
      filter.fleetCommandId ?? null,
      limit,
    ],
  );
}

/** Takes back a command that has not been sent; false where it is too late. */
export async function cancelCommand(db: Queries, id: number): Promise<boolean> {
  const changed = await db.execute(
    `UPDATE iot.device_commands SET status = 'failed', error_message = 'cancelled', executed_at = now()
      WHERE id = $1 AND status = 'pending'`,
    [id],
  );
  return changed > 0;
}

/** Commands of these devices that wait and may still be sent, the most urgent first. */
export function listPendingCommands(
  db: Queries,
  devices: readonly string[],
  limit: number,
): Promise<Command[]> {
  return db.query(
    `SELECT ${COLUMNS} FROM ${FROM}
      WHERE c.status = 'pending' AND c.expires_at > now() AND d.device_code = ANY ($1)
      ORDER BY c.priority, c.id LIMIT $2`,
    [devices, limit],
  );
}

/** Devices for which commands wait. */
export async function listCommandedDevices(db: Queries, limit: number): Promise<string[]> {
  const rows = await db.query<{ device: string }>(
    `SELECT d.device_code AS device FROM iot.devices d
      WHERE d.removed_at IS NULL AND d.id IN (SELECT c.device_id FROM iot.device_commands c
                                               WHERE c.status = 'pending' AND c.expires_at > now()) LIMIT $1`,
    [limit],
  );
  return rows.map(({ device }) => device);
}

/**
 * Takes commands for `gateway` to send; resolves with those that it has got. Nobody else gets them any more, so that
 * each is sent at most once, whoever has a connection to its device.
 */
export async function takeCommands(db: Queries, ids: readonly number[], gateway: string): Promise<number[]> {
  if (ids.length === 0) return [];
  const rows = await db.query<{ id: number }>(
    `UPDATE iot.device_commands SET status = 'sent', gateway = $2, sent_at = now()
      WHERE id = ANY ($1::int8[]) AND status = 'pending' AND expires_at > now() RETURNING id`,
    [ids, gateway],
  );
  return rows.map(({ id }) => id);
}

/** Notes that devices have acknowledged their commands. A result that came first stays. */
export async function noteDelivered(db: Queries, ids: readonly number[]): Promise<void> {
  await db.execute(
    `UPDATE iot.device_commands SET delivered_at = now(), status = CASE status WHEN 'sent' THEN 'delivered' ELSE status END
      WHERE id = ANY ($1::int8[]) AND delivered_at IS NULL`,
    [ids],
  );
}

/** Gives commands back that certainly never left, because their connection was gone before. */
export async function giveBackCommands(db: Queries, ids: readonly number[], gateway: string): Promise<void> {
  await db.execute(
    `UPDATE iot.device_commands SET status = 'pending', gateway = NULL, sent_at = NULL
      WHERE id = ANY ($1::int8[]) AND status = 'sent' AND gateway = $2`,
    [ids, gateway],
  );
}

/** Ends commands that were not delivered in time; how many those were. */
export function expireCommands(db: Queries): Promise<number> {
  return db.execute(
    `UPDATE iot.device_commands SET status = 'timeout',
            error_message = CASE status WHEN 'sent' THEN 'sent, and not acknowledged' ELSE 'not delivered in time' END
      WHERE status IN ('pending', 'sent') AND expires_at <= now()`,
  );
}

/** What a device says became of a command. */
export interface CommandResult {
  device: string;
  /** As the device was given it. */
  wireId: string;
  ok: boolean;
  result: unknown;
  error: string | undefined;
}

/**
 * Notes what devices say; the first word on a command holds. A result of somebody else's command changes nothing. A
 * device may answer with the id it was given, or with the `command_id` that the payload had.
 */
export async function noteResults(tx: Queries, results: readonly CommandResult[]): Promise<void> {
  for (const { device, wireId, ok, result, error } of results) {
    const [, fleet, number] = /^(fleet-)?(\d{1,15})$/.exec(wireId) ?? [];
    const which =
      number === undefined
        ? "c.command_payload ->> 'command_id' = $2"
        : fleet === undefined
          ? "c.id = $2 AND c.fleet_command_id IS NULL"
          : "c.fleet_command_id = $2";
    await tx.execute(
      `UPDATE iot.device_commands c
          SET status = $3, execution_result = $4, error_message = $5, executed_at = now(),
              delivered_at = coalesce(c.delivered_at, now())
         FROM iot.devices d
        WHERE d.id = c.device_id AND d.device_code = $1 AND c.status IN ('sent', 'delivered', 'timeout')
          AND c.issued_at > now() - INTERVAL '90 days' AND ${which}`,
      [
        device,
        number === undefined ? wireId : Number(number),
        ok ? "executed" : "failed",
        JSON.stringify(result ?? null),
        error ?? null,
      ],
    );
  }
}

/** Deletes commands that have been over for longer than the `device_commands` retention says; how many those were. */
export async function purgeCommands(db: Queries): Promise<number> {
  const purged = await db.execute(
    `DELETE FROM iot.device_commands
      WHERE status NOT IN ('pending', 'sent') AND issued_at < now() - (${RETENTION}) AND expires_at < now()`,
  );
  await db.execute(
    `DELETE FROM iot.fleet_commands f WHERE issued_at < now() - (${RETENTION})
        AND NOT EXISTS (SELECT FROM iot.device_commands c WHERE c.fleet_command_id = f.id)`,
  );
  return purged;
}

const RETENTION = `SELECT retention_days * INTERVAL '1 day' FROM audit.data_retention
  WHERE table_name = 'device_commands' AND is_active`;
