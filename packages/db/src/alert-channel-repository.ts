import { NotFoundError } from "@sluice/shared-types";
import type { Severity } from "./alert-rule-repository.ts";
import type { Db, Queries } from "./open-db.ts";
import { createSecret } from "./secrets.ts";

/** What every secret of a webhook begins with, so that a leaked one is recognised. */
const SECRET_PREFIX = "whsec_";
const SECRET_LENGTH = 43;

/** How somebody is told. */
export interface ChannelInput {
  name: string;
  kind: "email" | "webhook" | "mqtt";
  /** Addresses separated by commas; a URL; nothing for `mqtt`. */
  target: string;
  minSeverity: Severity;
  active: boolean;
}

/** A channel as it is kept. */
export interface Channel extends ChannelInput {
  id: number;
}

const CHANNEL = `id, name, kind, target, min_severity AS "minSeverity", is_active AS active`;

/** Every channel, by name. */
export function listChannels(db: Queries): Promise<Channel[]> {
  return db.query<Channel>(`SELECT ${CHANNEL} FROM alert.channels ORDER BY name`);
}

/** A channel as it is after a change; `secret` where the change gave it one. */
export type ChangedChannel = Channel & { secret?: string };

/** Makes a channel, or changes the one of that name. A webhook that has no secret yet gets one. */
export async function putChannel(db: Db, channel: ChannelInput): Promise<ChangedChannel> {
  return db.transaction(async (tx) => {
    const [row] = await tx.query<Channel>(
      `INSERT INTO alert.channels (name, kind, target, min_severity, is_active) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, target = excluded.target,
         min_severity = excluded.min_severity, is_active = excluded.is_active
       RETURNING ${CHANNEL}`,
      [channel.name, channel.kind, channel.target, channel.minSeverity, channel.active],
    );
    const kept = row as Channel;
    if (channel.kind !== "webhook") return kept;
    const secret = newSecret();
    const given = await tx.execute(
      "INSERT INTO alert.channel_secret (channel_id, secret) VALUES ($1, $2) ON CONFLICT (channel_id) DO NOTHING",
      [kept.id, secret],
    );
    return given === 0 ? kept : { ...kept, secret };
  });
}

/** Gives a webhook another secret; the one before is void at once. @throws NotFoundError where there is no such webhook */
export async function renewChannelSecret(db: Queries, name: string): Promise<string> {
  const secret = newSecret();
  const changed = await db.execute(
    `INSERT INTO alert.channel_secret AS s (channel_id, secret)
     SELECT id, $2 FROM alert.channels WHERE name = $1 AND kind = 'webhook'
     ON CONFLICT (channel_id) DO UPDATE SET secret = excluded.secret, created_at = now()`,
    [name, secret],
  );
  if (changed === 0) throw new NotFoundError(`no webhook '${name}'`);
  return secret;
}

const newSecret = () => SECRET_PREFIX + createSecret(SECRET_LENGTH);

/** Deletes a channel and what it still had to tell. @throws NotFoundError */
export async function deleteChannel(db: Queries, name: string): Promise<void> {
  const deleted = await db.execute("DELETE FROM alert.channels WHERE name = $1", [name]);
  if (deleted === 0) throw new NotFoundError(`no channel '${name}'`);
}
