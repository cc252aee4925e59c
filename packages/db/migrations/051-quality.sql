-- From where on readings are doubtful, by sensor type. Flags go to public.quality_flag.

CREATE TABLE public.quality_threshold (
  -- Name of a sensor type, or a sensor's own name, which goes before its type; '*' for all others.
  sensor_type TEXT PRIMARY KEY,
  -- Where null, the expected range of the sensor's type.
  range_min DOUBLE PRECISION,
  range_max DOUBLE PRECISION,
  -- How far one reading may stand out from the middle of its two neighbours.
  spike DOUBLE PRECISION CHECK (spike >= 0),
  rate_per_minute DOUBLE PRECISION CHECK (rate_per_minute >= 0),
  -- A line is flat after so many equal values in a row that also last this long.
  flat_count INTEGER CHECK (flat_count > 1),
  flat_minutes DOUBLE PRECISION NOT NULL DEFAULT 0 CHECK (flat_minutes >= 0),
  -- Where null, five times the sensor's sample interval.
  gap_seconds DOUBLE PRECISION CHECK (gap_seconds > 0),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  CHECK (range_min < range_max)
);

-- What no sensor of these kinds can measure, or no room or tank can do.
INSERT INTO public.quality_threshold
  (sensor_type, range_min, range_max, spike, rate_per_minute, flat_count, flat_minutes)
VALUES
  ('*', NULL, NULL, NULL, NULL, NULL, 0),
  ('temperature', -40, 85, 10, 20, 60, 60),
  ('DHT20_TEMPERATURE', -40, 85, 10, 20, 60, 60),
  ('humidity', 0, 100, 25, NULL, 60, 60),
  ('DHT20_HUMIDITY', 0, 100, 25, NULL, 60, 60),
  ('ph', 0, 14, 2, NULL, 60, 60),
  ('PH_SENSOR', 0, 14, 2, NULL, 60, 60),
  ('ec', 0, 20, 2, NULL, 60, 60),
  ('EC_SENSOR', 0, 20, 2, NULL, 60, 60),
  ('water_level', 0, 100, NULL, NULL, NULL, 0),
  ('WATER_LEVEL', 0, 100, NULL, NULL, NULL, 0),
  ('water_temp', -5, 60, 5, 5, 60, 60),
  ('WATER_TEMP', -5, 60, 5, 5, 60, 60),
  ('light_level', 0, 200000, NULL, NULL, NULL, 0),
  ('LIGHT_LUX', 0, 200000, NULL, NULL, NULL, 0);
