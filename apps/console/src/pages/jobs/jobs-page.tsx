import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { get, query } from "../../api/request.ts";
import type { JobRun, JobSchedule, JobState } from "../../api/types/job.ts";
import { useMay } from "../../api/use-session.ts";
import { ago, count, instant, span } from "../../format.ts";
import { Field } from "../../parts/field.tsx";
import { Empty, Notice, Problem, Skeleton, Tag, type Tone } from "../../parts/notice.tsx";
import { Page, Panel, Table } from "../../parts/page.tsx";
import { useNow } from "../../parts/use-now.ts";
import { BackfillDialog } from "./backfill-dialog.tsx";

const TONES: Record<string, Tone> = { completed: "ok", failed: "bad", running: "warn" };

/** What runs by itself, how far it is, and doing it again for an earlier time. */
export function JobsPage() {
  const [filling, setFilling] = useState<string>();
  const mayRun = useMay("write");
  const { data, error, refetch } = useQuery({
    queryKey: ["schedule"],
    queryFn: ({ signal }) => get<JobSchedule>("/api/v1/jobs/schedule", signal),
    refetchInterval: 5000,
  });
  return (
    <Page
      title="Jobs"
      lead="What runs by itself, how far it is, and what it still owes."
      actions={
        mayRun && (
          <button type="button" className="primary" onClick={() => setFilling("")} disabled={!data}>
            Backfill …
          </button>
        )
      }
    >
      {error && <Problem error={error} retry={() => void refetch()} />}
      {data === undefined && !error && <Skeleton rows={8} />}
      {data && (
        <>
          <Scheduler schedule={data} />
          <Panel title="Schedule">
            <Schedule jobs={data.jobs} onBackfill={mayRun ? setFilling : undefined} />
          </Panel>
        </>
      )}
      <Runs jobs={data?.jobs ?? []} />
      {filling !== undefined && data && (
        <BackfillDialog jobs={data.jobs} job={filling} onClose={() => setFilling(undefined)} />
      )}
    </Page>
  );
}

function Scheduler({ schedule: { running, enabled, rollups } }: { schedule: JobSchedule }) {
  const rolledUp = `Rolled up to ${instant(rollups.rolledUpTo)}; ${count(rollups.dirty)} buckets with late data to repair.`;
  return (
    <div className="verdict">
      {running ? (
        <Notice tone="ok" title="The scheduler runs">
          {rolledUp}
        </Notice>
      ) : (
        <Notice tone="bad" title="The scheduler is stopped">
          {rolledUp} Nothing is lost: what is due is done when it runs again.
        </Notice>
      )}
      {!enabled && (
        <Notice tone="plain" title="Only rollups run by themselves">
          ETL_ENABLED is false here. Jobs run when they are asked for, here or with ./sluice etl.
        </Notice>
      )}
    </div>
  );
}

const COLUMNS = ["Job", "Runs", "Done up to", "Last run", "Holes", { name: "Actions", hidden: true }];

function Schedule({
  jobs,
  onBackfill,
}: {
  jobs: readonly JobState[];
  onBackfill: ((job: string) => void) | undefined;
}) {
  const now = useNow();
  return (
    <Table label="Schedule" columns={COLUMNS}>
      {jobs.map(({ name, type, schedule, watermark, lastRun, holes }) => (
        <tr key={name}>
          <td>
            <strong>{name}</strong>
            <br />
            <small className="muted">{type}</small>
          </td>
          <td className="mono">{scheduleText(schedule)}</td>
          <td className="nowrap">{watermark === null ? "not yet" : instant(watermark)}</td>
          <td className="nowrap">
            {lastRun === null ? "–" : <Tag tone={TONES[lastRun.status] ?? "plain"}>{lastRun.status}</Tag>}{" "}
            <span className="muted">{lastRun && ago(lastRun.createdAt, now)}</span>
          </td>
          <td>
            {holes.length === 0 ? (
              <span className="muted">none</span>
            ) : (
              <details>
                <summary className="bad-text">{count(holes.length)} windows failed</summary>
                {holes.slice(0, 5).map(({ from, to, error }) => (
                  <p key={`${from}`}>
                    {instant(from)} – {instant(to)}: {error}
                  </p>
                ))}
              </details>
            )}
          </td>
          <td className="num">
            {onBackfill && (
              <button type="button" className="small" onClick={() => onBackfill(name)}>
                Backfill …<span className="hidden"> {name}</span>
              </button>
            )}
          </td>
        </tr>
      ))}
    </Table>
  );
}

/** A cron line with its zone, or an interval. */
function scheduleText(schedule: JobState["schedule"]): string {
  if (schedule === undefined) return "when asked";
  if ("everyMs" in schedule) return `every ${Math.round(schedule.everyMs / 60_000)} min`;
  return `${schedule.cron} ${schedule.zone}`;
}

function Runs({ jobs }: { jobs: readonly JobState[] }) {
  const [job, setJob] = useState("");
  const now = useNow();
  const { data, error } = useQuery({
    queryKey: ["runs", job],
    queryFn: ({ signal }) => get<{ jobs: JobRun[] }>(`/api/v1/jobs${query({ limit: 50, job })}`, signal),
    refetchInterval: 5000,
  });
  return (
    <Panel
      title="Runs"
      actions={
        <Field label="Of job">
          {(ids) => (
            <select {...ids} value={job} onChange={({ target }) => setJob(target.value)}>
              <option value="">any</option>
              {jobs.map(({ name }) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          )}
        </Field>
      }
      className="with-field"
    >
      {error && <Problem error={error} />}
      {data === undefined && !error && <Skeleton />}
      {data?.jobs.length === 0 && (
        <Empty title="Nothing has run yet">
          Runs appear here as soon as a job has a full window of data, or somebody asks for one.
        </Empty>
      )}
      {data && data.jobs.length > 0 && (
        <Table
          label="Runs"
          columns={[
            "When",
            "Job",
            "State",
            "Window",
            "Asked for by",
            { name: "Took", num: true },
            "What came of it",
          ]}
        >
          {data.jobs.map((run) => (
            <tr key={run.id}>
              <td className="nowrap">{ago(run.createdAt, now)}</td>
              <td>{run.job}</td>
              <td>
                <Tag tone={TONES[run.status] ?? "plain"}>{run.status}</Tag>
              </td>
              <td className="nowrap">
                {instant(run.from)} – {instant(run.to)}
              </td>
              <td>{run.trigger}</td>
              <td className="num nowrap">{run.seconds === null ? "–" : span(run.seconds * 1000)}</td>
              <td className="wrap">
                {run.error ? <span className="bad-text">{run.error}</span> : summaryText(run.summary)}
              </td>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}

function summaryText(summary: unknown): string {
  if (summary === null || typeof summary !== "object") return "";
  return Object.entries(summary)
    .map(([name, said]) => `${name}: ${typeof said === "object" ? JSON.stringify(said) : said}`)
    .join(", ");
}
