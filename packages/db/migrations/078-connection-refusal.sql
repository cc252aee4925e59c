-- Who was turned away before a message of theirs was looked at: one row for each reason and sender, so that whoever keeps
-- knocking takes one row, and quarantine holds messages only.
CREATE TABLE public.connection_refusal (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  reason TEXT NOT NULL,
  source TEXT NOT NULL,
  address TEXT NOT NULL,
  -- As they called themselves, cut; empty where they said nothing.
  username TEXT NOT NULL,
  client_id TEXT NOT NULL,
  detail TEXT NOT NULL,
  -- At least: what was held back since the last line of the log is told with the next.
  times BIGINT NOT NULL,
  first_at TIMESTAMPTZ NOT NULL,
  last_at TIMESTAMPTZ NOT NULL,
  -- The beginning of what came last, where anything did.
  payload BYTEA NOT NULL,
  -- The refusal that was counted last: delivered again it is not counted again.
  last_message TEXT NOT NULL,
  UNIQUE (reason, source, address, username, client_id)
);
CREATE INDEX connection_refusal_last ON public.connection_refusal (last_at);
