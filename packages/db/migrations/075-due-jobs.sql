-- Which jobs do an hour or a day again when its rollups change after they have passed it: any job may ask for it here.

CREATE TABLE bi.due_job (
  job TEXT PRIMARY KEY,
  -- key in core.system_config: buckets from there on are not passed yet
  watermark_key VARCHAR(100) NOT NULL,
  -- what it does again at once: whole hours
  step INTERVAL NOT NULL CHECK (step >= INTERVAL '1 hour')
);
INSERT INTO bi.due_job (job, watermark_key, step)
VALUES ('hourly', 'etl_hourly_watermark', INTERVAL '1 hour'), ('daily', 'etl_daily_watermark', INTERVAL '24 hours');

ALTER TABLE bi.due DROP CONSTRAINT due_job_check;
ALTER TABLE bi.due ADD CONSTRAINT due_job_fkey FOREIGN KEY (job) REFERENCES bi.due_job ON DELETE CASCADE;
