-- How long what is kept, by table and sensor type. Nothing is deleted before it is rolled up.

CREATE TABLE public.retention_policy (
  id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  table_name TEXT NOT NULL CHECK (table_name IN
    ('measurement', 'measurement_text', 'rollup_5m', 'rollup_1h', 'rollup_1d')),
  -- Name of a sensor type, or a sensor's own name; '*' for all that have no policy of their own.
  sensor_type TEXT NOT NULL DEFAULT '*',
  retention_days INTEGER NOT NULL CHECK (retention_days > 0),
  is_active BOOLEAN NOT NULL DEFAULT true,
  last_purge_at TIMESTAMPTZ,
  rows_purged BIGINT NOT NULL DEFAULT 0,
  UNIQUE (table_name, sensor_type)
);

-- Up to where the readings of a sensor are gone: older rollups stay as they are, whatever comes late.
CREATE TABLE public.retention_horizon (
  sensor_id INTEGER PRIMARY KEY,
  horizon TIMESTAMPTZ NOT NULL
);

-- The policy of a sensor for a table: its own name before its type, its type before '*'.
CREATE FUNCTION public.retention_days_of(wanted_table TEXT, sensor INTEGER) RETURNS INTEGER STABLE LANGUAGE sql AS $$
  SELECT p.retention_days FROM public.retention_policy p, iot.sensors s LEFT JOIN iot.sensor_types t ON t.id = s.sensor_type_id
   WHERE p.is_active AND p.table_name = wanted_table AND s.id = sensor AND p.sensor_type IN (s.sensor_code, t.name, '*')
   ORDER BY p.sensor_type = s.sensor_code DESC, p.sensor_type = t.name DESC NULLS LAST LIMIT 1
$$;

-- A repair computes buckets from readings: where these are gone it would take the figures away.
CREATE FUNCTION public.clip_rollup_mark() RETURNS TRIGGER LANGUAGE plpgsql AS $$
DECLARE
  gone TIMESTAMPTZ;
BEGIN
  SELECT horizon INTO gone FROM public.retention_horizon WHERE sensor_id = NEW.sensor_id;
  IF gone IS NULL OR NEW.from_time >= gone THEN RETURN NEW; END IF;
  IF NEW.to_time <= gone THEN RETURN NULL; END IF;
  NEW.from_time := gone;
  RETURN NEW;
END $$;
CREATE TRIGGER clip_rollup_mark BEFORE INSERT ON public.rollup_dirty FOR EACH ROW
  EXECUTE FUNCTION public.clip_rollup_mark();
