import type { Queries } from "./open-db.ts";

/** What is known of a device whose message is looked for. */
export interface TracedDevice {
  access: "active" | "disabled" | null;
  username: string | null;
  lastDataReceived: Date | null;
  lastHeartbeat: Date | null;
}

/** A device and its credential; undefined where nobody has heard of it. */
export async function findTracedDevice(db: Queries, device: string): Promise<TracedDevice | undefined> {
  const [row] = await db.query<TracedDevice>(
    `SELECT c.status AS access, c.username, d.last_data_received AS "lastDataReceived",
            d.last_heartbeat AS "lastHeartbeat"
       FROM iot.devices d LEFT JOIN iot.credential_devices o ON o.device_id = d.id
       LEFT JOIN iot.credentials c ON c.id = o.credential_id
      WHERE d.device_code = $1 ORDER BY c.id LIMIT 1`,
    [device],
  );
  return row;
}

/** A life of a device in which a sequence number was received, or is missing. */
export interface SequenceLife {
  boot: string;
  received: boolean;
  lowest: number;
  highest: number;
  firstAt: Date;
  lastAt: Date;
}

/** The lives of a device that span `seq`, the latest first. */
export function listSequenceLives(
  db: Queries,
  device: string,
  seq: number,
  boot: string | undefined,
): Promise<SequenceLife[]> {
  return db.query<SequenceLife>(
    `SELECT s.boot, s.seen @> $2::int8 AS received, lower(s.seen) AS lowest, upper(s.seen) - 1 AS highest,
            s.first_at AS "firstAt", s.last_at AS "lastAt"
       FROM public.device_sequence s JOIN iot.devices d ON d.id = s.device_id
      WHERE d.device_code = $1 AND ($3::text IS NULL OR s.boot = $3)
        AND $2::int8 BETWEEN lower(s.seen) AND upper(s.seen) - 1
      ORDER BY s.last_at DESC LIMIT 10`,
    [device, seq, boot ?? null],
  );
}

/** A stored reading, and the bucket that it is, or will be, rolled up in. */
export interface TracedReading {
  field: string;
  timeUs: number;
  value: number | string | null;
  status: string;
  bucket: Date;
  /** `rolled`: its 5-minute row is there; `due`: it is to be rolled up again; `open`: not rolled up yet. */
  rollup: "rolled" | "due" | "open" | "none";
}

/** Readings of a device from `fromUs` to `toUs`, both inclusive, in order of time. */
export function listTracedReadings(
  db: Queries,
  device: string,
  range: { fromUs: number; toUs: number; limit: number },
): Promise<TracedReading[]> {
  return db.query<TracedReading>(
    `WITH range AS (SELECT to_timestamp(0) + $2::int8 * interval '1 microsecond' AS f,
                           to_timestamp(0) + $3::int8 * interval '1 microsecond' AS t),
          sensors AS (SELECT s.id, s.sensor_code FROM iot.sensors s JOIN iot.devices d ON d.id = s.device_id
                       WHERE d.device_code = $1),
          found AS (
            SELECT s.id, s.sensor_code, m.time, to_jsonb(m.value) AS value, m.status, true AS number
              FROM range, sensors s JOIN public.measurement m ON m.sensor_id = s.id
             WHERE m.time BETWEEN range.f AND range.t
            UNION ALL
            SELECT s.id, s.sensor_code, x.time, to_jsonb(x.value), 'ok', false
              FROM range, sensors s JOIN public.measurement_text x ON x.sensor_id = s.id
             WHERE x.time BETWEEN range.f AND range.t)
     SELECT sensor_code AS field, (extract(epoch FROM time) * 1000000)::int8 AS "timeUs", value, status,
            public.five_minutes(time) AS bucket,
            CASE WHEN NOT number THEN 'none'
                 WHEN EXISTS (SELECT FROM public.rollup_dirty y WHERE y.sensor_id = found.id
                    AND y.from_time <= found.time AND (y.to_time IS NULL OR y.to_time > public.five_minutes(time)))
                   THEN 'due'
                 WHEN EXISTS (SELECT FROM public.rollup_5m r WHERE r.sensor_id = found.id
                    AND r.bucket = public.five_minutes(found.time)) THEN 'rolled'
                 ELSE 'open' END AS rollup
       FROM found ORDER BY time, sensor_code LIMIT $4`,
    [device, range.fromUs, range.toUs, range.limit],
  );
}

/** A refusal that may be what is looked for. */
export interface TracedRefusal {
  id: number;
  reason: string;
  detail: string;
  source: string;
  device: string | null;
  topic: string | null;
  boot: string | null;
  seq: number | null;
  messageId: string | null;
  receivedAt: Date;
  status: string;
}

/** Which refusals: by message id, or of a device by sequence number or time. */
export type RefusalQuery =
  | { messageId: string }
  | { device: string; seq: number; boot?: string | undefined }
  | { device: string; from: Date; to: Date };

const REFUSAL = `id, reason, detail, source, device, topic, boot, seq, message_id AS "messageId",
  received_at AS "receivedAt", status`;

/** Refused messages, the newest first. */
export function listTracedRefusals(db: Queries, query: RefusalQuery): Promise<TracedRefusal[]> {
  const end = "ORDER BY id DESC LIMIT 20";
  if ("messageId" in query) {
    return db.query(`SELECT ${REFUSAL} FROM public.quarantine WHERE message_id = $1 ${end}`, [
      query.messageId,
    ]);
  }
  if ("seq" in query) {
    return db.query(
      `SELECT ${REFUSAL} FROM public.quarantine
        WHERE device = $1 AND seq = $2 AND ($3::text IS NULL OR boot = $3) ${end}`,
      [query.device, query.seq, query.boot ?? null],
    );
  }
  return db.query(
    `SELECT ${REFUSAL} FROM public.quarantine WHERE device = $1 AND received_at BETWEEN $2 AND $3 ${end}`,
    [query.device, query.from, query.to],
  );
}

/** Reasons for which a connection, a subscription or a request is refused before its message is looked at. */
const AT_THE_DOOR = [
  "bad_credentials",
  "bad_client_id",
  "client_id_in_use",
  "device_disabled",
  "device_mismatch",
  "not_authorised",
  "bad_api_key",
  "protocol_error",
  "connect_timeout",
  "too_many_connections",
  "too_large",
];

/** Whoever was turned away, and whether it certainly was the device that is asked for. */
export type TurnedAway = TracedRefusal & { certain: boolean; times: number };

/**
 * Connections, subscriptions and topics refused in the last day that may be of the device: by its user name, its id
 * as a name, client or topic; and those of names that nobody has.
 */
export function listTurnedAway(
  db: Queries,
  device: string,
  username: string | undefined,
): Promise<TurnedAway[]> {
  return db.query(
    `SELECT * FROM (
       SELECT * FROM (
         SELECT ${REFUSAL}, 1 AS times,
                device IS NOT DISTINCT FROM $1
                  OR position('/' || $1 || '/' IN coalesce(topic, '') || '/') > 0
                  OR $2::text IS NOT NULL AND (position('(' || $2 || '@' IN detail) > 0
                      OR position('''' || $2 || '''' IN detail) > 0) AS certain
           FROM public.quarantine
          WHERE received_at > now() - interval '1 day' AND reason = ANY ($3)) AS message
        WHERE certain OR (device IS NULL AND NOT EXISTS (SELECT FROM iot.credentials c
                            WHERE position('(' || c.username || '@' IN message.detail) > 0))
       UNION ALL
       SELECT id, reason, detail, source, NULL, NULL, NULL, NULL, NULL, last_at, 'open', times,
              username = ANY ($4) OR client_id = $1
         FROM public.connection_refusal r
        WHERE last_at > now() - interval '1 day' AND (username = ANY ($4) OR client_id = $1
              OR NOT EXISTS (SELECT FROM iot.credentials c WHERE c.username = r.username))) AS refused
      ORDER BY certain DESC, "receivedAt" DESC LIMIT 20`,
    [device, username ?? null, AT_THE_DOOR, [device, ...(username === undefined ? [] : [username])]],
  );
}
