-- Commands to devices: what was asked for, by whom, and how far each got. The documents' columns stay as they are.

ALTER TABLE iot.device_commands
  -- Last level of the topic it is sent on.
  ADD COLUMN command_type TEXT NOT NULL DEFAULT 'control',
  -- The fleet command that it is one device's part of.
  ADD COLUMN fleet_command_id BIGINT,
  -- Who asked: api, alert or cli.
  ADD COLUMN source TEXT NOT NULL DEFAULT 'api',
  -- The same key is the same command, however often it is asked for.
  ADD COLUMN dedupe_key TEXT UNIQUE,
  -- The gateway that has taken it: whoever sets it sends the command, and nobody else.
  ADD COLUMN gateway TEXT,
  ADD COLUMN sent_at TIMESTAMPTZ,
  ADD COLUMN delivered_at TIMESTAMPTZ;
CREATE INDEX device_commands_due ON iot.device_commands (expires_at) WHERE status IN ('pending', 'sent');
CREATE INDEX device_commands_fleet ON iot.device_commands (fleet_command_id) WHERE fleet_command_id IS NOT NULL;

CREATE TABLE iot.fleet_groups (
  name VARCHAR(64) PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9_-]+$'),
  description TEXT,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE TABLE iot.fleet_members (
  group_name VARCHAR(64) NOT NULL REFERENCES iot.fleet_groups ON DELETE CASCADE,
  device_id INTEGER NOT NULL REFERENCES iot.devices ON DELETE CASCADE,
  PRIMARY KEY (group_name, device_id)
);
CREATE INDEX fleet_members_device ON iot.fleet_members (device_id);

-- One command to a group; each member's part is a row of iot.device_commands.
CREATE TABLE iot.fleet_commands (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  group_name VARCHAR(64) NOT NULL,
  command_type TEXT NOT NULL,
  command_payload JSONB NOT NULL,
  issued_by INTEGER REFERENCES core.users ON DELETE SET NULL,
  issued_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  expires_at TIMESTAMPTZ NOT NULL
);

-- What a device shall be set to (`config`, `config_version`) and what it says that it is set to.
ALTER TABLE iot.devices
  ADD COLUMN config_version INTEGER NOT NULL DEFAULT 0,
  ADD COLUMN config_reported_version INTEGER,
  ADD COLUMN config_reported_at TIMESTAMPTZ;
