-- Commands that are over are kept for a year. Results are taken for 90 days: not less than that.
INSERT INTO audit.data_retention (table_name, retention_days) VALUES ('device_commands', 365);
