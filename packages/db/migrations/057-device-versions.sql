-- What a device says of itself when it registers.
ALTER TABLE iot.devices ADD COLUMN hardware_version VARCHAR(50);
