-- Who works on which stretch of which job: a stretch has one holder at a time, live run or backfill.
CREATE TABLE public.etl_lease (
  run_id UUID PRIMARY KEY,
  job_name TEXT NOT NULL,
  range_from TIMESTAMPTZ NOT NULL,
  range_to TIMESTAMPTZ NOT NULL,
  holder TEXT NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX etl_lease_job ON public.etl_lease (job_name);

-- Windows that failed: due until they succeed.
CREATE TABLE public.etl_failed_window (
  job_name TEXT NOT NULL,
  range_from TIMESTAMPTZ NOT NULL,
  range_to TIMESTAMPTZ NOT NULL,
  error TEXT NOT NULL,
  failed_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  PRIMARY KEY (job_name, range_from, range_to)
);
CREATE INDEX processing_jobs_running ON public.processing_jobs (job_name) WHERE status = 'running';
