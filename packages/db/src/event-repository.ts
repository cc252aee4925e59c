import type { Queries } from "./open-db.ts";

/** Something that happened, as people who watch are told. */
export interface LiveEvent {
  kind: "alert" | "refusal" | "job" | "command";
  id: string;
  /** What it is now: a later state of the same thing is another event. */
  state: string;
  device: string | null;
  at: Date;
  /** What a line about it says. */
  data: Record<string, unknown>;
}

/** What happened after `since`, oldest first, at most `limit`: alerts, refusals, ends of runs, states of commands. */
export function listLiveEvents(db: Queries, since: Date, limit: number): Promise<LiveEvent[]> {
  return db.query<LiveEvent>(
    `SELECT * FROM (
       (SELECT 'alert' AS kind, a.id::text AS id, a.status AS state, d.device_code AS device, x.at,
               jsonb_build_object('severity', a.severity, 'title', a.title, 'message', a.message) AS data
          FROM alert.alerts a LEFT JOIN iot.devices d ON d.id = a.device_id,
               greatest(a.triggered_at, a.acknowledged_at, a.resolved_at) AS x(at)
         WHERE a.triggered_at > $1 OR a.acknowledged_at > $1 OR a.resolved_at > $1 ORDER BY x.at LIMIT $2)
       UNION ALL
       (SELECT 'refusal', q.id::text, q.status, q.device, q.created_at,
               jsonb_build_object('reason', q.reason, 'detail', q.detail, 'topic', q.topic)
          FROM public.quarantine q WHERE q.created_at > $1 ORDER BY q.created_at LIMIT $2)
       UNION ALL
       (SELECT 'refusal', 'connection ' || r.id, r.times::text, NULL, r.last_at,
               jsonb_build_object('reason', r.reason, 'detail', r.detail, 'topic', NULL)
          FROM public.connection_refusal r WHERE r.last_at > $1 ORDER BY r.last_at LIMIT $2)
       UNION ALL
       (SELECT 'job', j.job_id::text, j.status, NULL, j.completed_at,
               jsonb_build_object('job', j.job_name, 'seconds', j.duration_seconds, 'error', j.error_message)
          FROM public.processing_jobs j
         WHERE j.completed_at > $1 AND j.created_at > $1 - INTERVAL '1 day' ORDER BY j.completed_at LIMIT $2)
       UNION ALL
       (SELECT 'command', c.id::text, c.status, d.device_code, x.at,
               jsonb_build_object('type', c.command_type, 'error', c.error_message)
          FROM iot.device_commands c JOIN iot.devices d ON d.id = c.device_id,
               greatest(c.issued_at, c.sent_at, c.delivered_at, c.executed_at) AS x(at)
         WHERE c.issued_at > $1 - INTERVAL '1 day' AND x.at > $1 ORDER BY x.at LIMIT $2)
     ) AS happened ORDER BY at LIMIT $2`,
    [since, limit],
  );
}
