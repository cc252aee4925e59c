-- Deletions of a device's range of time that came through the bus, remembered so that entries published before one
-- and delivered after it do not bring rows back. Rows are few and stay.

CREATE TABLE public.tombstone (
  stream TEXT NOT NULL,
  -- Its position among all messages of the stream: what has a lower one was published before it.
  ordinal BIGINT NOT NULL,
  message_id TEXT NOT NULL,
  device TEXT NOT NULL,
  from_time TIMESTAMPTZ NOT NULL,
  to_time TIMESTAMPTZ NOT NULL,
  published_at TIMESTAMPTZ NOT NULL,
  -- Null while rows are still being deleted.
  applied_at TIMESTAMPTZ,
  readings_deleted BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (stream, ordinal)
);
CREATE INDEX tombstone_message ON public.tombstone (message_id);
