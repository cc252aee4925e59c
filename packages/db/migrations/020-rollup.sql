-- Rollups of 5 minutes, 1 hour and 1 day for every numeric sensor, and the marks that keep them exact.

ALTER TABLE iot.sensors
  -- How often it is meant to send; learned where nobody says so.
  ADD COLUMN sample_interval INTERVAL CHECK (sample_interval > INTERVAL '0'),
  -- How long a value may be taken to last after its reading; null: until the next one.
  ADD COLUMN max_hold INTERVAL CHECK (max_hold > INTERVAL '0');

-- Readings with status error count as "not known from here on". Values are as stored: calibration is applied when read.
CREATE TABLE public.rollup_5m (
  sensor_id INTEGER NOT NULL,
  bucket TIMESTAMPTZ NOT NULL,
  n INTEGER NOT NULL,
  sum DOUBLE PRECISION,
  mean DOUBLE PRECISION,
  -- sum of (value - mean)²
  m2 DOUBLE PRECISION,
  min DOUBLE PRECISION,
  max DOUBLE PRECISION,
  first DOUBLE PRECISION,
  first_time TIMESTAMPTZ,
  last DOUBLE PRECISION,
  last_time TIMESTAMPTZ,
  -- the last reading was an error: no value goes over into what follows
  ended BOOLEAN NOT NULL,
  -- seconds in which a value was known, and its mean weighted by how long it held
  held_seconds DOUBLE PRECISION NOT NULL,
  time_weighted_avg DOUBLE PRECISION,
  expected DOUBLE PRECISION,
  coverage DOUBLE PRECISION,
  -- readings that came after the bucket had been rolled up
  late INTEGER NOT NULL DEFAULT 0,
  definition SMALLINT NOT NULL,
  PRIMARY KEY (sensor_id, bucket)
);
CREATE INDEX rollup_5m_bucket ON public.rollup_5m USING brin (bucket);
CREATE TABLE public.rollup_1h (LIKE public.rollup_5m INCLUDING ALL);
CREATE TABLE public.rollup_1d (LIKE public.rollup_5m INCLUDING ALL);
-- The calendar date in the facility's zone; `bucket` is its first instant.
ALTER TABLE public.rollup_1d ADD COLUMN day DATE NOT NULL;
CREATE INDEX rollup_1d_day ON public.rollup_1d (day);

-- A rebuild finds readings that were there all along: they are not late.
ALTER TABLE public.rollup_dirty ADD COLUMN rebuild BOOLEAN NOT NULL DEFAULT false;

-- Rows of rollup_watermark: 'mark', before which writers mark what they touch, and 'done', before which all is rolled
-- up but for what is marked. 'mark' moves first, under this lock held exclusively; 'done' follows with the rows.
CREATE FUNCTION public.rollup_lock() RETURNS BIGINT IMMUTABLE LANGUAGE sql AS $$ SELECT 5177042 $$;

CREATE FUNCTION public.five_minutes(at TIMESTAMPTZ) RETURNS TIMESTAMPTZ IMMUTABLE PARALLEL SAFE LANGUAGE sql
  AS $$ SELECT date_bin(INTERVAL '5 minutes', at, TIMESTAMPTZ '1970-01-01 00:00:00+00') $$;

-- Marks [range_from, range_to) of one sensor, through to the next reading, to be rolled up anew. Call it after the change.
CREATE FUNCTION public.mark_rollup_rebuild(sensor INTEGER, range_from TIMESTAMPTZ, range_to TIMESTAMPTZ)
RETURNS INTEGER LANGUAGE plpgsql AS $$
DECLARE
  mark TIMESTAMPTZ;
  made INTEGER;
BEGIN
  PERFORM pg_advisory_xact_lock_shared(public.rollup_lock());
  SELECT watermark INTO mark FROM public.rollup_watermark WHERE name = 'mark';
  IF mark IS NULL OR NOT range_from < mark THEN RETURN 0; END IF;
  INSERT INTO public.rollup_dirty (sensor_id, rebuild, from_time, to_time)
  SELECT sensor, true, CASE WHEN isfinite(range_from) THEN public.five_minutes(range_from) ELSE range_from END,
         (SELECT m.time FROM public.measurement m
           WHERE m.sensor_id = sensor AND m.time >= range_to ORDER BY m.time LIMIT 1);
  GET DIAGNOSTICS made = ROW_COUNT;
  RETURN made;
END $$;

-- Settings that change the meaning of all rollups of a sensor.
CREATE FUNCTION iot.sensor_redefined() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
  PERFORM public.mark_rollup_rebuild(NEW.id, '-infinity', 'infinity');
  RETURN NULL;
END $$;
CREATE TRIGGER sensor_redefined AFTER UPDATE OF sample_interval, max_hold ON iot.sensors FOR EACH ROW
  WHEN (OLD.sample_interval IS DISTINCT FROM NEW.sample_interval OR OLD.max_hold IS DISTINCT FROM NEW.max_hold)
  EXECUTE FUNCTION iot.sensor_redefined();

-- Days begin elsewhere when a facility's zone changes, or a device moves to another facility.
CREATE FUNCTION core.facility_zone_changed() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
  PERFORM public.mark_rollup_rebuild(s.id, '-infinity', 'infinity')
     FROM iot.sensors s JOIN iot.devices d ON d.id = s.device_id WHERE d.facility_id = NEW.id;
  RETURN NULL;
END $$;
CREATE TRIGGER facility_zone_changed AFTER UPDATE OF timezone ON core.facilities FOR EACH ROW
  WHEN (OLD.timezone IS DISTINCT FROM NEW.timezone) EXECUTE FUNCTION core.facility_zone_changed();
CREATE FUNCTION iot.device_moved() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
  PERFORM public.mark_rollup_rebuild(s.id, '-infinity', 'infinity') FROM iot.sensors s WHERE s.device_id = NEW.id;
  RETURN NULL;
END $$;
CREATE TRIGGER device_moved AFTER UPDATE OF facility_id ON iot.devices FOR EACH ROW
  WHEN (OLD.facility_id IS DISTINCT FROM NEW.facility_id) EXECUTE FUNCTION iot.device_moved();

-- A zone that nobody knows would stop the rollups of its facility.
CREATE FUNCTION core.is_timezone(zone TEXT) RETURNS BOOLEAN STABLE LANGUAGE sql
  AS $$ SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = zone) $$;
CREATE FUNCTION core.check_facility_zone() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
  IF NOT core.is_timezone(NEW.timezone) THEN
    RAISE invalid_parameter_value USING MESSAGE = format('%L is not a time zone', NEW.timezone);
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_facility_zone BEFORE INSERT OR UPDATE OF timezone ON core.facilities FOR EACH ROW
  EXECUTE FUNCTION core.check_facility_zone();
