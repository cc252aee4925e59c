import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { request } from "../../api/request.ts";
import type { BackfillPlan, JobState } from "../../api/types/job.ts";
import { count, instant } from "../../format.ts";
import { Dialog, useAction } from "../../parts/dialog.tsx";
import { Field } from "../../parts/field.tsx";
import { Notice, Problem } from "../../parts/notice.tsx";
import { ChangesTable } from "./changes-table.tsx";

const WEEK_DAYS = 7;

/** Runs jobs again for an earlier time: first what would change, then exactly that. */
export function BackfillDialog({
  jobs,
  job,
  onClose,
}: {
  jobs: readonly JobState[];
  job: string;
  onClose: () => void;
}) {
  const client = useQueryClient();
  const [plan, setPlan] = useState<BackfillPlan>();
  const [applied, setApplied] = useState<number>();
  const preview = useAction(async (form: FormData) => {
    setPlan(undefined);
    const name = String(form.get("job"));
    const from = String(form.get("from"));
    const to = String(form.get("to"));
    const range =
      from === ""
        ? { days: Number(form.get("days")) || WEEK_DAYS }
        : { from: new Date(from).toISOString(), ...(to === "" ? {} : { to: new Date(to).toISOString() }) };
    setPlan(
      await request<BackfillPlan>("POST", "/api/v1/jobs/backfill", {
        ...(name === "" ? {} : { jobs: [name] }),
        ...range,
      }),
    );
  });
  const apply = useAction(async (token: string) => {
    const done = await request<{ count: number }>("POST", "/api/v1/jobs/backfill", { apply: token });
    await Promise.all(["schedule", "runs"].map((key) => client.invalidateQueries({ queryKey: [key] })));
    setApplied(done.count);
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    void preview.run(new FormData(event.currentTarget));
  };
  if (applied !== undefined) {
    return (
      <Dialog title="Backfill" onClose={onClose}>
        <div className="stack">
          <Notice tone="ok" title={`Applied: ${count(applied)} rows changed`}>
            Exactly what was shown, in one transaction. The audit log has it.
          </Notice>
          <footer className="row end">
            <button type="button" className="primary" onClick={onClose}>
              Close
            </button>
          </footer>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog title="Backfill" onClose={onClose} wide>
      <div className="stack">
        <form className="stack" onSubmit={submit} onChange={() => setPlan(undefined)}>
          <div className="fields">
            <Field label="Job">
              {(ids) => (
                <select {...ids} name="job" defaultValue={job}>
                  <option value="">all of them</option>
                  {jobs.map(({ name }) => (
                    <option key={name}>{name}</option>
                  ))}
                </select>
              )}
            </Field>
            <Field label="The last days" hint="used where no beginning is given">
              {(ids) => (
                <input {...ids} name="days" type="number" min={1} max={3660} defaultValue={WEEK_DAYS} />
              )}
            </Field>
            <Field label="or from">{(ids) => <input {...ids} name="from" type="datetime-local" />}</Field>
            <Field label="to" hint="now, if empty">
              {(ids) => <input {...ids} name="to" type="datetime-local" />}
            </Field>
          </div>
          {preview.error !== undefined && <Problem error={preview.error} />}
          <div className="row">
            <button type="submit" className={plan ? "" : "primary"} disabled={preview.busy}>
              {preview.busy ? "Working it out …" : "Show what would change"}
            </button>
          </div>
        </form>
        {plan && <Plan plan={plan} />}
        {apply.error !== undefined && <Problem error={apply.error} />}
        {plan && (
          <footer className="row end">
            <button type="button" onClick={onClose}>
              Cancel
            </button>
            <button
              type="button"
              className="primary"
              disabled={plan.count === 0 || apply.busy}
              onClick={() => void apply.run(plan.token)}
            >
              {apply.busy ? "Applying …" : `Apply ${count(plan.count)} changes`}
            </button>
          </footer>
        )}
      </div>
    </Dialog>
  );
}

function Plan({ plan }: { plan: BackfillPlan }) {
  return (
    <div className="stack" aria-live="polite">
      {plan.ranges.map(({ job, from, to }) => (
        <p key={job} className="muted">
          <strong>{job}</strong>: {instant(from)} – {instant(to)}
        </p>
      ))}
      {plan.count === 0 ? (
        <Notice tone="ok" title="Nothing would change">
          What is stored is what the jobs would compute.
        </Notice>
      ) : (
        <ChangesTable changes={plan.changes} total={plan.count} />
      )}
    </div>
  );
}
