-- What comparisons of InfluxDB with PostgreSQL came to.
CREATE TABLE public.reconciliation (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  finished_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  range_from TIMESTAMPTZ NOT NULL,
  range_to TIMESTAMPTZ NOT NULL,
  -- hours of sensors that were compared
  hours BIGINT NOT NULL,
  -- readings that InfluxDB does not have, has with another value, or has and PostgreSQL does not
  missing BIGINT NOT NULL,
  differing BIGINT NOT NULL,
  extra BIGINT NOT NULL,
  repaired BOOLEAN NOT NULL
);
CREATE INDEX reconciliation_finished ON public.reconciliation (finished_at DESC);
