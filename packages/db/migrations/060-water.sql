-- The water network system's tables under its own names. Its figures have no limits of digits: a variance above 100 or a
-- deviation above 1000 % must not stop a cycle.

CREATE SCHEMA water_infrastructure;

-- A node is a device of the registry; this is what the network knows of it beside that.
CREATE TABLE water_infrastructure.nodes (
  node_id TEXT PRIMARY KEY,
  node_name TEXT,
  -- input, source, supply bring water in; output, delivery, distribution take it out; all others only measure
  node_type TEXT NOT NULL DEFAULT 'unknown',
  location_name TEXT,
  latitude NUMERIC(10, 7) CHECK (latitude BETWEEN -90 AND 90),
  longitude NUMERIC(10, 7) CHECK (longitude BETWEEN -180 AND 180),
  installation_date DATE,
  last_maintenance_date DATE,
  is_active BOOLEAN NOT NULL DEFAULT true,
  metadata JSONB NOT NULL DEFAULT '{}',
  zone_id INTEGER REFERENCES core.zones ON DELETE SET NULL,
  upstream_node_id TEXT REFERENCES water_infrastructure.nodes ON DELETE SET NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  CHECK (upstream_node_id <> node_id)
);

CREATE FUNCTION water_infrastructure.register_node() RETURNS TRIGGER LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO iot.devices AS d (device_code, device_type, name, location_description, zone_id)
  VALUES (NEW.node_id, 'water_node', NEW.node_name, NEW.location_name, NEW.zone_id)
  ON CONFLICT (device_code) DO UPDATE SET zone_id = coalesce(excluded.zone_id, d.zone_id),
    name = coalesce(excluded.name, d.name), updated_at = now();
  RETURN NEW;
END $$;
CREATE TRIGGER register_node AFTER INSERT OR UPDATE OF node_name, zone_id ON water_infrastructure.nodes
  FOR EACH ROW EXECUTE FUNCTION water_infrastructure.register_node();

-- Readings as the system's raw table had them; they are the canonical ones, with calibration, in one row per instant.
CREATE VIEW water_infrastructure.sensor_readings AS
  SELECT m.time AS "timestamp", d.device_code AS node_id,
         max(m.value + s.calibration_offset) FILTER (WHERE s.sensor_code = 'temperature') AS temperature,
         max(m.value + s.calibration_offset) FILTER (WHERE s.sensor_code = 'flow_rate') AS flow_rate,
         max(m.value + s.calibration_offset) FILTER (WHERE s.sensor_code = 'pressure') AS pressure,
         max(m.value + s.calibration_offset) FILTER (WHERE s.sensor_code IN ('total_flow', 'volume')) AS total_flow,
         max(m.value + s.calibration_offset) FILTER (WHERE s.sensor_code = 'quality_score') AS quality_score,
         false AS is_interpolated, NULL::jsonb AS raw_data
    FROM water_infrastructure.nodes n
    JOIN iot.devices d ON d.device_code = n.node_id
    JOIN iot.sensors s ON s.device_id = d.id
     AND s.sensor_code IN ('temperature', 'flow_rate', 'pressure', 'total_flow', 'volume', 'quality_score')
    JOIN public.measurement m ON m.sensor_id = s.id AND m.status <> 'error'
   GROUP BY m.time, d.device_code;

CREATE TABLE water_infrastructure.computed_metrics (
  node_id VARCHAR(100) NOT NULL,
  time_window VARCHAR(20) NOT NULL CHECK (time_window IN ('5min', '1hour', '1day', '1week', '1month')),
  window_start TIMESTAMPTZ NOT NULL,
  window_end TIMESTAMPTZ NOT NULL,
  avg_flow_rate NUMERIC,
  min_flow_rate NUMERIC,
  max_flow_rate NUMERIC,
  total_volume NUMERIC,
  flow_variance NUMERIC,
  avg_pressure NUMERIC,
  min_pressure NUMERIC,
  max_pressure NUMERIC,
  pressure_variance NUMERIC,
  avg_temperature NUMERIC,
  min_temperature NUMERIC,
  max_temperature NUMERIC,
  reading_count INTEGER NOT NULL DEFAULT 0,
  data_completeness NUMERIC(5, 2) CHECK (data_completeness BETWEEN 0 AND 100),
  anomaly_count INTEGER NOT NULL DEFAULT 0,
  quality_score NUMERIC(3, 2) NOT NULL DEFAULT 1.0 CHECK (quality_score BETWEEN 0 AND 1),
  computed_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  computation_version VARCHAR(20) NOT NULL DEFAULT '1.0.0',
  PRIMARY KEY (node_id, time_window, window_start),
  CHECK (window_start < window_end),
  CHECK (min_flow_rate <= avg_flow_rate AND avg_flow_rate <= max_flow_rate),
  CHECK (min_pressure <= avg_pressure AND avg_pressure <= max_pressure),
  CHECK (min_temperature <= avg_temperature AND avg_temperature <= max_temperature)
);
CREATE INDEX computed_metrics_window ON water_infrastructure.computed_metrics (time_window, window_start);
DO $$ BEGIN
  IF iot.has_timescale() THEN
    PERFORM create_hypertable('water_infrastructure.computed_metrics', 'window_start', create_default_indexes => false);
  END IF;
END $$;

CREATE TABLE water_infrastructure.network_efficiency (
  computation_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  computation_timestamp TIMESTAMPTZ NOT NULL DEFAULT now(),
  time_window VARCHAR(20) NOT NULL,
  window_start TIMESTAMPTZ NOT NULL,
  window_end TIMESTAMPTZ NOT NULL,
  total_input_volume NUMERIC,
  total_output_volume NUMERIC,
  total_loss_volume NUMERIC,
  -- volumetric: output volume / input volume * 100
  efficiency_percentage NUMERIC,
  zone_metrics JSONB NOT NULL DEFAULT '{}',
  leak_hints JSONB NOT NULL DEFAULT '[]',
  active_nodes INTEGER NOT NULL DEFAULT 0,
  total_nodes INTEGER NOT NULL DEFAULT 0,
  network_availability NUMERIC(5, 2),
  total_anomalies INTEGER NOT NULL DEFAULT 0,
  critical_anomalies INTEGER NOT NULL DEFAULT 0,
  anomaly_zones JSONB NOT NULL DEFAULT '{}',
  UNIQUE (time_window, window_start)
);

CREATE TABLE water_infrastructure.data_quality_metrics (
  node_id VARCHAR(100) NOT NULL,
  -- the end of the window
  check_timestamp TIMESTAMPTZ NOT NULL,
  time_window VARCHAR(20) NOT NULL,
  completeness_score NUMERIC(4, 3) NOT NULL CHECK (completeness_score BETWEEN 0 AND 1),
  validity_score NUMERIC(4, 3) NOT NULL CHECK (validity_score BETWEEN 0 AND 1),
  consistency_score NUMERIC(4, 3) NOT NULL CHECK (consistency_score BETWEEN 0 AND 1),
  overall_quality_score NUMERIC(4, 3) NOT NULL CHECK (overall_quality_score BETWEEN 0 AND 1),
  missing_data_points INTEGER NOT NULL,
  invalid_values INTEGER NOT NULL,
  outliers_detected INTEGER NOT NULL,
  quality_issues JSONB NOT NULL DEFAULT '[]',
  PRIMARY KEY (node_id, check_timestamp, time_window)
);

-- The time is in its key, so that it can be a hypertable. One anomaly per node, measurement and instant.
CREATE TABLE water_infrastructure.anomalies (
  anomaly_id BIGINT GENERATED BY DEFAULT AS IDENTITY,
  "timestamp" TIMESTAMPTZ NOT NULL,
  node_id TEXT NOT NULL,
  anomaly_type TEXT NOT NULL,
  severity TEXT NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
  measurement_type TEXT NOT NULL,
  actual_value NUMERIC,
  expected_value NUMERIC,
  deviation_percentage NUMERIC,
  detection_method TEXT NOT NULL,
  is_confirmed BOOLEAN,
  resolved_at TIMESTAMPTZ,
  metadata JSONB NOT NULL DEFAULT '{}',
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  PRIMARY KEY (anomaly_id, "timestamp"),
  UNIQUE (node_id, measurement_type, "timestamp")
);
CREATE INDEX anomalies_time ON water_infrastructure.anomalies ("timestamp" DESC);

-- A row that is computed again with other figures says when.
CREATE FUNCTION water_infrastructure.stamp_metrics() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN NEW.computed_at := now(); RETURN NEW; END $$;
CREATE TRIGGER stamp_metrics BEFORE UPDATE ON water_infrastructure.computed_metrics FOR EACH ROW
  EXECUTE FUNCTION water_infrastructure.stamp_metrics();
CREATE FUNCTION water_infrastructure.stamp_efficiency() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN NEW.computation_timestamp := now(); RETURN NEW; END $$;
CREATE TRIGGER stamp_efficiency BEFORE UPDATE ON water_infrastructure.network_efficiency FOR EACH ROW
  EXECUTE FUNCTION water_infrastructure.stamp_efficiency();

-- Models. There are none yet; the tables are as the system has them.
CREATE TABLE water_infrastructure.ml_models (
  model_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  model_name VARCHAR(255) NOT NULL,
  model_type VARCHAR(50) NOT NULL CHECK (model_type IN ('flow_prediction', 'anomaly_detection', 'efficiency_optimization')),
  version VARCHAR(50) NOT NULL,
  training_started_at TIMESTAMPTZ,
  training_completed_at TIMESTAMPTZ,
  training_data_start TIMESTAMPTZ,
  training_data_end TIMESTAMPTZ,
  status VARCHAR(20) NOT NULL DEFAULT 'created'
    CHECK (status IN ('created', 'training', 'validating', 'shadow', 'active', 'retired')),
  is_active BOOLEAN NOT NULL DEFAULT false,
  metrics JSONB NOT NULL DEFAULT '{}',
  parameters JSONB NOT NULL DEFAULT '{}',
  training_samples BIGINT,
  model_path TEXT,
  model_size_bytes BIGINT,
  model_hash CHAR(64),
  tags JSONB NOT NULL DEFAULT '[]',
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  UNIQUE (model_type, version)
);
CREATE TABLE water_infrastructure.model_performance (
  model_id UUID NOT NULL REFERENCES water_infrastructure.ml_models ON DELETE CASCADE,
  evaluation_timestamp TIMESTAMPTZ NOT NULL,
  evaluation_window VARCHAR(20) NOT NULL,
  predictions_count BIGINT NOT NULL,
  rmse DOUBLE PRECISION,
  mae DOUBLE PRECISION,
  mape DOUBLE PRECISION,
  r2_score DOUBLE PRECISION,
  node_metrics JSONB NOT NULL DEFAULT '{}',
  feature_drift_score DOUBLE PRECISION,
  prediction_drift_score DOUBLE PRECISION,
  drift_detected BOOLEAN NOT NULL DEFAULT false,
  PRIMARY KEY (model_id, evaluation_timestamp, evaluation_window)
);
CREATE TABLE water_infrastructure.ml_predictions_cache (
  prediction_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  model_id UUID NOT NULL REFERENCES water_infrastructure.ml_models ON DELETE CASCADE,
  node_id TEXT NOT NULL,
  prediction_timestamp TIMESTAMPTZ NOT NULL,
  prediction_horizon_hours INTEGER NOT NULL,
  target_timestamp TIMESTAMPTZ NOT NULL,
  predicted_flow_rate NUMERIC,
  predicted_pressure NUMERIC,
  predicted_temperature NUMERIC,
  flow_rate_lower NUMERIC,
  flow_rate_upper NUMERIC,
  pressure_lower NUMERIC,
  pressure_upper NUMERIC,
  confidence_score NUMERIC(3, 2) CHECK (confidence_score BETWEEN 0 AND 1),
  features_used JSONB,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  UNIQUE (model_id, node_id, target_timestamp)
);
CREATE VIEW water_infrastructure.ml_predictions AS SELECT * FROM water_infrastructure.ml_predictions_cache;

-- What refreshed which keys of the cache, and which part of the processing was last alive.
CREATE TABLE water_infrastructure.cache_sync_log (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  sync_type TEXT NOT NULL,
  keys_written INTEGER NOT NULL,
  started_at TIMESTAMPTZ NOT NULL,
  completed_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE water_infrastructure.system_heartbeat (
  component TEXT PRIMARY KEY,
  last_seen TIMESTAMPTZ NOT NULL,
  status TEXT NOT NULL,
  details JSONB NOT NULL DEFAULT '{}'
);

-- The run log is one table for all jobs; the water network's runs are a part of their own, a table by its own name.
ALTER TABLE public.processing_jobs RENAME TO processing_jobs_before;
ALTER INDEX public.processing_jobs_pkey RENAME TO processing_jobs_before_pkey;
CREATE TABLE public.processing_jobs (
  LIKE public.processing_jobs_before INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS,
  PRIMARY KEY (job_id, job_type)
) PARTITION BY LIST (job_type);
CREATE TABLE public.processing_jobs_other PARTITION OF public.processing_jobs DEFAULT;
CREATE TABLE water_infrastructure.processing_jobs PARTITION OF public.processing_jobs
  FOR VALUES IN ('water_processing', 'water_import', 'ml_training', 'ml_evaluation', 'ml_prediction');
INSERT INTO public.processing_jobs
  (job_id, job_type, job_name, status, priority, created_at, started_at, completed_at, total_items, processed_items,
   failed_items, progress_percentage, data_start_time, data_end_time, result_summary, error_message, error_details,
   triggered_by, configuration)
SELECT job_id, job_type, job_name, status, priority, created_at, started_at, completed_at, total_items, processed_items,
       failed_items, progress_percentage, data_start_time, data_end_time, result_summary, error_message, error_details,
       triggered_by, configuration
  FROM public.processing_jobs_before;
DROP TABLE public.processing_jobs_before;
CREATE INDEX processing_jobs_recent ON public.processing_jobs (job_name, created_at DESC);
CREATE INDEX processing_jobs_running ON public.processing_jobs (job_name) WHERE status = 'running';

CREATE VIEW water_infrastructure.etl_jobs AS
  SELECT job_id, job_name, CASE status WHEN 'queued' THEN 'running' ELSE status END AS status, started_at, completed_at,
         processed_items AS records_processed, error_message
    FROM water_infrastructure.processing_jobs;
