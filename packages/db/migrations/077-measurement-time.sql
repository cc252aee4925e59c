-- Rollups find readings by their time: the newest pages have to be in this index as soon as they are full.
DROP INDEX public.measurement_time;
CREATE INDEX measurement_time ON public.measurement USING brin (time) WITH (pages_per_range = 32, autosummarize = on);
