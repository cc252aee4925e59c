-- The controlled-environment system's own names for what is kept above.

CREATE VIEW public.facility AS
  SELECT id AS facility_id, name, location, timezone, created_at FROM core.facilities;
CREATE VIEW public.zone AS
  SELECT id AS zone_id, facility_id, name, created_at FROM core.zones;
CREATE VIEW public.room AS
  SELECT id AS room_id, zone_id, name, target_vpd, target_temp, created_at FROM core.rooms;
CREATE VIEW public.rack AS
  SELECT id AS rack_id, room_id, name, created_at FROM core.racks;
-- A device stands in a room, or in a rack that does.
CREATE VIEW public.device AS
  SELECT d.id AS device_id, d.rack_id, coalesce(d.room_id, r.room_id) AS room_id,
         coalesce(d.name, d.device_code) AS name, d.device_type AS type, d.ip_address, d.serial_number, d.created_at
    FROM iot.devices d LEFT JOIN core.racks r ON r.id = d.rack_id
   WHERE d.removed_at IS NULL;
CREATE VIEW public.sensor AS
  SELECT id AS sensor_id, device_id, sensor_code AS name, unit, coalesce(value_type, 'number') AS data_type, channel,
         calibration_offset, created_at
    FROM iot.sensors;
