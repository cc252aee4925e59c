-- Domain packs that are enabled, and what they say of fields: type and unit of a sensor are known when it first sends.

CREATE TABLE core.packs (
  name TEXT PRIMARY KEY,
  title TEXT NOT NULL,
  -- The whole pack as it was when it was enabled.
  definition JSONB NOT NULL,
  enabled_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE iot.field_types (
  field TEXT NOT NULL,
  -- '*' for devices of any type; a type's own line comes first.
  device_type TEXT NOT NULL DEFAULT '*',
  sensor_type_id INTEGER NOT NULL REFERENCES iot.sensor_types ON DELETE CASCADE,
  pack TEXT NOT NULL REFERENCES core.packs ON DELETE CASCADE,
  PRIMARY KEY (field, device_type)
);

CREATE FUNCTION iot.set_field_type() RETURNS TRIGGER LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  known RECORD;
BEGIN
  SELECT t.id, t.measurement_unit INTO known
    FROM iot.field_types f JOIN iot.sensor_types t ON t.id = f.sensor_type_id JOIN iot.devices d ON d.id = NEW.device_id
   WHERE f.field = NEW.sensor_code AND f.device_type IN ('*', d.device_type)
   ORDER BY f.device_type = '*' LIMIT 1;
  IF FOUND THEN
    NEW.sensor_type_id := known.id;
    NEW.unit := coalesce(NEW.unit, known.measurement_unit);
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER set_field_type BEFORE INSERT ON iot.sensors FOR EACH ROW WHEN (NEW.sensor_type_id IS NULL)
  EXECUTE FUNCTION iot.set_field_type();

-- Figures of jobs that are data: one per device, metric and hour or day (UTC).
CREATE TABLE bi.pack_metric (
  job TEXT NOT NULL,
  device_id INTEGER NOT NULL REFERENCES iot.devices ON DELETE CASCADE,
  bucket_start TIMESTAMPTZ NOT NULL,
  metric TEXT NOT NULL,
  value DOUBLE PRECISION,
  unit TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (job, device_id, bucket_start, metric)
);
CREATE INDEX pack_metric_time ON bi.pack_metric (bucket_start DESC);
