-- What was not stored, what was counted, what is due.

CREATE TABLE public.device_sequence (
  device_id INTEGER NOT NULL,
  boot TEXT NOT NULL DEFAULT '',
  -- Every sequence number received; the holes are what is missing.
  seen INT8MULTIRANGE NOT NULL,
  first_at TIMESTAMPTZ NOT NULL,
  last_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (device_id, boot)
) WITH (fillfactor = 50);

CREATE VIEW public.device_sequence_gap AS
  SELECT s.device_id, d.device_code, s.boot, lower(hole) AS from_seq, upper(hole) - 1 AS to_seq,
         upper(hole) - lower(hole) AS missing, s.first_at, s.last_at
    FROM public.device_sequence s
    JOIN iot.devices d ON d.id = s.device_id,
    LATERAL unnest(int8multirange(int8range(lower(s.seen), upper(s.seen))) - s.seen) AS hole;

CREATE TABLE public.quarantine (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- The same refusal delivered again is the same row.
  dedupe_key TEXT NOT NULL UNIQUE,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL,
  source TEXT NOT NULL,
  device TEXT,
  topic TEXT,
  type TEXT,
  boot TEXT,
  seq BIGINT,
  sample_index INTEGER,
  message_id TEXT,
  received_at TIMESTAMPTZ NOT NULL,
  payload BYTEA NOT NULL,
  truncated BOOLEAN NOT NULL DEFAULT false,
  status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'replayed', 'discarded', 'fixed')),
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX quarantine_open ON public.quarantine (id) WHERE status = 'open';
CREATE INDEX quarantine_device ON public.quarantine (device, id);
CREATE INDEX quarantine_created ON public.quarantine (created_at);

-- One row per bus entry whose transaction is committed but whose acknowledgement is not yet known to be.
CREATE TABLE public.ledger_receipt (
  stream TEXT NOT NULL,
  entry_id TEXT NOT NULL,
  -- One letter per message: (s)tored, (d)uplicate, (q)uarantined.
  outcomes TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  PRIMARY KEY (stream, entry_id)
);

-- Messages ever committed. Spread over slots so that concurrent writers do not wait for one another.
CREATE TABLE public.ledger_total (
  stream TEXT NOT NULL,
  slot SMALLINT NOT NULL,
  stored BIGINT NOT NULL DEFAULT 0,
  duplicate BIGINT NOT NULL DEFAULT 0,
  quarantined BIGINT NOT NULL DEFAULT 0,
  readings BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (stream, slot)
) WITH (fillfactor = 20);

-- Everything before the watermark is rolled up. It moves under the exclusive advisory lock that writers share.
CREATE TABLE public.rollup_watermark (
  name TEXT PRIMARY KEY,
  watermark TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE TABLE public.rollup_dirty (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  sensor_id INTEGER NOT NULL,
  -- [from_time, to_time): start of the first bucket touched; the next reading, or null where there is none.
  from_time TIMESTAMPTZ NOT NULL,
  to_time TIMESTAMPTZ,
  marked_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX rollup_dirty_sensor ON public.rollup_dirty (sensor_id, from_time);

CREATE TABLE public.processing_jobs (
  job_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  job_type VARCHAR(50) NOT NULL,
  job_name VARCHAR(255) NOT NULL,
  status VARCHAR(20) NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'completed', 'failed')),
  priority INTEGER NOT NULL DEFAULT 5 CHECK (priority BETWEEN 1 AND 10),
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  started_at TIMESTAMPTZ,
  completed_at TIMESTAMPTZ,
  duration_seconds DOUBLE PRECISION
    GENERATED ALWAYS AS (extract(epoch FROM completed_at - started_at)::float8) STORED,
  total_items BIGINT,
  processed_items BIGINT NOT NULL DEFAULT 0,
  failed_items BIGINT NOT NULL DEFAULT 0,
  progress_percentage NUMERIC(5, 2),
  data_start_time TIMESTAMPTZ,
  data_end_time TIMESTAMPTZ,
  result_summary JSONB,
  error_message TEXT,
  error_details JSONB,
  triggered_by VARCHAR(20) NOT NULL DEFAULT 'scheduler'
    CHECK (triggered_by IN ('scheduler', 'manual', 'event')),
  configuration JSONB
);
CREATE INDEX processing_jobs_recent ON public.processing_jobs (job_name, created_at DESC);

CREATE TABLE audit.events (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_type VARCHAR(100) NOT NULL,
  severity VARCHAR(20) NOT NULL DEFAULT 'info',
  entity_type VARCHAR(100),
  entity_id TEXT,
  user_id INTEGER REFERENCES core.users ON DELETE SET NULL,
  message TEXT,
  data JSONB,
  ip_address INET,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX audit_events_created ON audit.events (created_at);
CREATE INDEX audit_events_entity ON audit.events (entity_type, entity_id, created_at);
