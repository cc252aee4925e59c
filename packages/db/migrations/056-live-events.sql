-- What happened lately is looked for every second while somebody watches.
CREATE INDEX device_commands_issued ON iot.device_commands (issued_at);
CREATE INDEX processing_jobs_created ON public.processing_jobs (created_at);
