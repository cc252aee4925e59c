-- Readings. No foreign key to iot.sensors: it costs a trigger per row, and sensors with data are never deleted.

CREATE FUNCTION iot.has_timescale() RETURNS BOOLEAN LANGUAGE sql STABLE
  AS $$ SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') $$;

DO $$
DECLARE
  columns TEXT := $sql$
    time TIMESTAMPTZ NOT NULL,
    sensor_id INTEGER NOT NULL,
    value DOUBLE PRECISION,
    status TEXT NOT NULL DEFAULT 'ok',
    -- Whose clock `time` is: 0 the device's, 1 its age, and the server's because the device gave 2 none,
    -- 3 one in the past, 4 one in the future, 5 one that cannot be read.
    clock SMALLINT NOT NULL DEFAULT 0,
    PRIMARY KEY (sensor_id, time),
    CONSTRAINT measurement_status CHECK (status IN ('ok', 'error', 'warning', 'calibrating')),
    CONSTRAINT measurement_value CHECK (value IS NOT NULL OR status = 'error')
  $sql$;
BEGIN
  IF iot.has_timescale() THEN
    EXECUTE format('CREATE TABLE public.measurement (%s)', columns);
    PERFORM create_hypertable('public.measurement', 'time', chunk_time_interval => INTERVAL '1 day',
      create_default_indexes => false);
    ALTER TABLE public.measurement SET (timescaledb.compress,
      timescaledb.compress_segmentby = 'sensor_id', timescaledb.compress_orderby = 'time DESC');
    PERFORM add_compression_policy('public.measurement', INTERVAL '90 days');
  ELSE
    EXECUTE format('CREATE TABLE public.measurement (%s) PARTITION BY RANGE (time)', columns);
    CREATE TABLE public.measurement_default PARTITION OF public.measurement DEFAULT;
  END IF;
END $$;

-- Makes sure that every week between the two instants has its own partition, moving rows that had to go to the
-- default partition meanwhile. Safe to call at any time from several sessions; does nothing on a hypertable.
-- Returns how many partitions it made. Weeks begin on Monday, UTC.
CREATE FUNCTION public.ensure_measurement_partition(range_from TIMESTAMPTZ, range_to TIMESTAMPTZ)
RETURNS INTEGER LANGUAGE plpgsql AS $$
DECLARE
  week TIMESTAMP;
  part TEXT;
  made INTEGER := 0;
BEGIN
  IF to_regclass('public.measurement_default') IS NULL THEN RETURN 0; END IF;
  FOR week IN SELECT generate_series(date_trunc('week', range_from AT TIME ZONE 'UTC'),
                                     date_trunc('week', range_to AT TIME ZONE 'UTC'), INTERVAL '7 days')
  LOOP
    part := 'measurement_' || to_char(week, 'IYYY"w"IW');
    CONTINUE WHEN to_regclass('public.' || part) IS NOT NULL;
    PERFORM pg_advisory_xact_lock(hashtext('sluice.measurement_partition'));
    -- Not to_regclass again: an advisory lock does not refresh what this session remembers of the catalogue.
    CONTINUE WHEN EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = 'public'::regnamespace);
    -- Writers are shut out before the rows are moved: otherwise one of them could put a row in between.
    LOCK TABLE public.measurement IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('CREATE TABLE public.%I (LIKE public.measurement INCLUDING ALL)', part);
    EXECUTE format('WITH moved AS (DELETE FROM public.measurement_default WHERE time >= %L AND time < %L RETURNING *)
                    INSERT INTO public.%I SELECT * FROM moved',
                   week AT TIME ZONE 'UTC', (week + INTERVAL '7 days') AT TIME ZONE 'UTC', part);
    EXECUTE format('ALTER TABLE public.measurement ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                   part, week AT TIME ZONE 'UTC', (week + INTERVAL '7 days') AT TIME ZONE 'UTC');
    made := made + 1;
  END LOOP;
  RETURN made;
END $$;

CREATE TABLE public.measurement_text (
  time TIMESTAMPTZ NOT NULL,
  sensor_id INTEGER NOT NULL,
  value TEXT NOT NULL,
  clock SMALLINT NOT NULL DEFAULT 0,
  PRIMARY KEY (sensor_id, time)
);

-- What a correction replaced. Text where the reading was text.
CREATE TABLE public.measurement_revision (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  sensor_id INTEGER NOT NULL,
  time TIMESTAMPTZ NOT NULL,
  old_value DOUBLE PRECISION,
  old_status TEXT,
  old_text TEXT,
  new_value DOUBLE PRECISION,
  new_status TEXT,
  new_text TEXT,
  replaced_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  -- When the server got the correction: one that comes through later but is older changes nothing.
  received_at TIMESTAMPTZ NOT NULL,
  message_id TEXT
);
CREATE INDEX measurement_revision_key ON public.measurement_revision (sensor_id, time);

-- Doubts about a reading. Readings of devices that simply have no clock are told by measurement.clock alone.
CREATE TABLE public.quality_flag (
  sensor_id INTEGER NOT NULL,
  time TIMESTAMPTZ NOT NULL,
  flags TEXT[] NOT NULL,
  PRIMARY KEY (sensor_id, time)
);
