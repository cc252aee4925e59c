-- Machines whose logs are aggregated. One with a device is fed live, by the telemetry of that device; one without reads
-- the source database (DB_HOST, DB_NAME …).
CREATE TABLE iot.machines (
  machine_id VARCHAR(50) PRIMARY KEY CHECK (machine_id ~ '^[a-z0-9-]+$'),
  name TEXT,
  device_id INTEGER UNIQUE REFERENCES iot.devices,
  -- Which variables of the source database are this machine's; null for all of them.
  source_variables INTEGER[],
  created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
INSERT INTO iot.machines (machine_id, name) VALUES ('machine-1', 'Machine 1');

-- What a variable of a machine is for, where that differs from the document's ids and names.
CREATE TABLE iot.machine_variables (
  machine_id VARCHAR(50) NOT NULL REFERENCES iot.machines ON UPDATE CASCADE ON DELETE CASCADE,
  role TEXT NOT NULL CHECK (role IN ('alarms', 'operation', 'emergency', 'stop', 'program', 'motor', 'sensor')),
  -- Name, or id in the source database.
  variable TEXT NOT NULL,
  -- Of a motor its nominal kW, of a sensor what its values are multiplied by.
  factor DOUBLE PRECISION NOT NULL DEFAULT 1,
  PRIMARY KEY (machine_id, role, variable)
);
