-- What was taken off the bus for a consumer group that was too far behind, until it is processed from here; and how
-- far a device's clock is off.

CREATE TABLE public.bus_parked (
  id UUID PRIMARY KEY,
  stream TEXT NOT NULL,
  consumer_group TEXT NOT NULL,
  from_entry TEXT NOT NULL,
  to_entry TEXT NOT NULL,
  -- Positions of the first and last message among all that the stream accepted; 0 where others appended it.
  from_ordinal BIGINT NOT NULL,
  to_ordinal BIGINT NOT NULL,
  messages INTEGER NOT NULL,
  -- preparing: kept here, but perhaps not yet taken off the bus; parked: only here; refilled: processed, body dropped
  status TEXT NOT NULL DEFAULT 'preparing' CHECK (status IN ('preparing', 'parked', 'refilled')),
  -- The entries, gzipped JSON.
  body BYTEA,
  parked_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  refilled_at TIMESTAMPTZ
);
ALTER TABLE public.bus_parked ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX bus_parked_waiting ON public.bus_parked (consumer_group, from_ordinal) WHERE status <> 'refilled';

ALTER TABLE iot.devices
  -- Server time minus device time of its live messages, milliseconds; null where it gives no time.
  ADD COLUMN clock_skew_ms DOUBLE PRECISION,
  -- Whose clock its last message was stored under: device, age, none, past, future, unparsable.
  ADD COLUMN clock TEXT;
