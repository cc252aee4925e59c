import { useState } from "react";
import type { RuleInput, Severity } from "../../api/types/alert.ts";
import { Field } from "../../parts/field.tsx";
import { SEVERITIES } from "./severity-tag.tsx";

type Step = NonNullable<RuleInput["escalation"]>[number];
const USUAL: Step[] = [
  { afterMinutes: 5, severity: "warning" },
  { afterMinutes: 10, severity: "critical" },
  { afterMinutes: 15, severity: "emergency" },
];

/** How an alert that nobody acknowledges becomes worse. */
export function EscalationFields({ escalation }: { escalation: RuleInput["escalation"] }) {
  const before = escalation === null ? "usual" : escalation.length === 0 ? "none" : "own";
  const [kind, setKind] = useState<string>(before);
  const [steps, setSteps] = useState(before === "own" && escalation ? escalation : USUAL);
  return (
    <>
      <Field label="While nobody acknowledges it">
        {(ids) => (
          <select {...ids} name="escalation" value={kind} onChange={({ target }) => setKind(target.value)}>
            <option value="usual">it becomes worse after 5, 10 and 15 minutes</option>
            <option value="own">it becomes worse in steps of its own</option>
            <option value="none">it stays as it is</option>
          </select>
        )}
      </Field>
      {kind === "own" &&
        steps.map((step, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: steps are told apart by their place
          <div className="fields" key={i}>
            <Field label={`Step ${i + 1} after (minutes)`}>
              {(ids) => (
                <input
                  {...ids}
                  name="stepMinutes"
                  type="number"
                  step="any"
                  min={0}
                  required
                  defaultValue={step.afterMinutes}
                />
              )}
            </Field>
            <Field label={`Step ${i + 1}: it becomes`}>
              {(ids) => (
                <select {...ids} name="stepSeverity" defaultValue={step.severity}>
                  {SEVERITIES.map((severity) => (
                    <option key={severity}>{severity}</option>
                  ))}
                </select>
              )}
            </Field>
          </div>
        ))}
      {kind === "own" && (
        <div className="row">
          <button
            type="button"
            className="small"
            disabled={steps.length === 10}
            onClick={() => setSteps([...steps, { afterMinutes: 60, severity: "emergency" }])}
          >
            Add a step
          </button>
          <button
            type="button"
            className="small"
            disabled={steps.length === 1}
            onClick={() => setSteps(steps.slice(0, -1))}
          >
            Remove the last
          </button>
        </div>
      )}
    </>
  );
}

/** What {@link EscalationFields} say. */
export function readEscalation(form: FormData): RuleInput["escalation"] {
  if (form.get("escalation") === "none") return [];
  if (form.get("escalation") !== "own") return null;
  const severities = form.getAll("stepSeverity");
  return form
    .getAll("stepMinutes")
    .map((minutes, i) => ({ afterMinutes: Number(minutes), severity: severities[i] as Severity }));
}
