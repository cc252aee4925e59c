import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ApiError, request } from "../../api/request.ts";
import type { Condition, RuleInput, RulePreview } from "../../api/types/alert.ts";
import { Dialog, useAction } from "../../parts/dialog.tsx";
import { Field } from "../../parts/field.tsx";
import { Problem } from "../../parts/notice.tsx";
import { splitNames } from "../../parts/split-names.ts";
import { EscalationFields, readEscalation } from "./escalation-fields.tsx";
import { PreviewTable } from "./preview-table.tsx";
import { SEVERITIES } from "./severity-tag.tsx";

/** A rule that nobody has filled in. */
export const NEW_RULE: RuleInput = {
  name: "",
  sensorType: null,
  device: null,
  condition: "above",
  threshold: null,
  min: null,
  max: null,
  warningMargin: 0,
  hysteresis: 0,
  durationMinutes: 0,
  rateWindowMinutes: 0,
  severity: "warning",
  command: null,
  channels: null,
  escalation: null,
  active: true,
};

const CONDITIONS: readonly [Condition, string][] = [
  ["above", "is above a limit"],
  ["below", "is below a limit"],
  ["out_of_range", "leaves a range"],
  ["rate_of_change", "changes too fast"],
  ["device_offline", "device is silent"],
];
const WEEK_MS = 7 * 86_400_000;

/** Makes or changes a rule; what it would have raised in the last week is shown before. */
export function RuleDialog({ rule, onClose }: { rule: RuleInput & { id?: number }; onClose: () => void }) {
  const client = useQueryClient();
  const [condition, setCondition] = useState(rule.condition);
  const [preview, setPreview] = useState<RulePreview>();
  const look = useAction(async (form: HTMLFormElement) => {
    setPreview(undefined);
    const from = new Date(Date.now() - WEEK_MS).toISOString();
    setPreview(
      await request<RulePreview>("POST", "/api/v1/alerts/preview", { rule: read(form, rule), from }),
    );
  });
  const save = useAction(async (form: HTMLFormElement) => {
    const [method, path] = rule.id === undefined ? ["POST", ""] : ["PUT", `/${rule.id}`];
    await request(method ?? "POST", `/api/v1/alerts/rules${path}`, read(form, rule));
    await client.invalidateQueries({ queryKey: ["rules"] });
  }, onClose);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const { submitter } = event.nativeEvent as SubmitEvent;
    void (submitter?.getAttribute("value") === "save" ? save : look).run(event.currentTarget);
  };
  const error = save.error ?? look.error;
  const wrong = error instanceof ApiError ? error.fields : {};
  const why = (name: string) => wrong[name] ?? wrong[`rule.${name}`];
  const number = (name: keyof RuleInput & string, label: string, hint?: string, required = false) => (
    <Field label={label} hint={hint} error={why(name)}>
      {(ids) => (
        <input
          {...ids}
          name={name}
          type="number"
          step="any"
          required={required}
          defaultValue={String(rule[name] ?? "")}
        />
      )}
    </Field>
  );
  return (
    <Dialog title={rule.id === undefined ? "Add a rule" : `Change ${rule.name}`} onClose={onClose} wide>
      <form className="stack" onSubmit={submit} onChange={() => setPreview(undefined)}>
        <div className="fields">
          <Field label="Name" error={why("name")}>
            {(ids) => (
              <input
                {...ids}
                name="name"
                required
                defaultValue={rule.name}
                placeholder="Greenhouse too hot"
              />
            )}
          </Field>
          <Field label="It is raised when a">
            {(ids) => (
              <select
                {...ids}
                name="condition"
                value={condition}
                onChange={({ target }) => setCondition(target.value as Condition)}
              >
                {CONDITIONS.map(([id, name]) => (
                  <option key={id} value={id}>
                    {id === "device_offline" ? name : `reading ${name}`}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <Field label="Severity">
            {(ids) => (
              <select {...ids} name="severity" defaultValue={rule.severity}>
                {SEVERITIES.map((severity) => (
                  <option key={severity}>{severity}</option>
                ))}
              </select>
            )}
          </Field>
        </div>
        <div className="fields">
          {condition !== "device_offline" && (
            <Field label="Of which readings" hint="a field, or a type of sensor" error={why("sensorType")}>
              {(ids) => (
                <input
                  {...ids}
                  name="sensorType"
                  required
                  defaultValue={rule.sensorType ?? ""}
                  placeholder="temperature"
                />
              )}
            </Field>
          )}
          <Field label="Only of device (optional)" error={why("device")}>
            {(ids) => (
              <input {...ids} name="device" defaultValue={rule.device ?? ""} placeholder="every device" />
            )}
          </Field>
          {condition === "out_of_range" ? (
            <>
              {number("min", "Not below", undefined, true)}
              {number("max", "Not above", undefined, true)}
            </>
          ) : (
            condition !== "device_offline" &&
            number("threshold", condition === "rate_of_change" ? "Limit a minute" : "Limit", undefined, true)
          )}
          {number(
            "durationMinutes",
            condition === "device_offline" ? "Silent for (minutes)" : "For (minutes)",
            condition === "device_offline" ? "0 is five minutes" : "0: at the first reading",
          )}
        </div>
        {condition !== "device_offline" && (
          <details>
            <summary>Margins</summary>
            <div className="fields">
              {number("warningMargin", "Warn already this far before", "0: only at the limit")}
              {number("hysteresis", "Over when this far back", "keeps it from flapping")}
              {condition === "rate_of_change" &&
                number("rateWindowMinutes", "Rate over (minutes)", "0: between two readings")}
            </div>
          </details>
        )}
        <details>
          <summary>Who is told, and when it becomes worse</summary>
          <div className="stack">
            <Field label="Channels" hint="names with commas between; empty: all" error={why("channels")}>
              {(ids) => (
                <input
                  {...ids}
                  name="channels"
                  defaultValue={rule.channels?.join(", ") ?? ""}
                  placeholder="all"
                />
              )}
            </Field>
            <EscalationFields escalation={rule.escalation} />
          </div>
        </details>
        <label className="check">
          <input type="checkbox" name="active" defaultChecked={rule.active} />
          The rule is active
        </label>
        {error !== undefined && <Problem error={error} />}
        {preview && <PreviewTable preview={preview} />}
        <footer className="row end">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" value="preview" className={preview ? "" : "primary"} disabled={look.busy}>
            {look.busy ? "Looking …" : "Try it on the last week"}
          </button>
          <button type="submit" value="save" className={preview ? "primary" : ""} disabled={save.busy}>
            Save
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

/** What the form says; what it does not show stays as it was. */
function read(form: HTMLFormElement, before: RuleInput): RuleInput {
  const given = new FormData(form);
  const text = (name: string) => String(given.get(name) ?? "").trim() || null;
  const number = (name: string) => (text(name) === null ? null : Number(text(name)));
  const channels = splitNames(text("channels") ?? "");
  return {
    name: text("name") ?? "",
    condition: (text("condition") ?? "above") as Condition,
    severity: (text("severity") ?? "warning") as RuleInput["severity"],
    sensorType: text("sensorType"),
    device: text("device"),
    threshold: number("threshold"),
    min: number("min"),
    max: number("max"),
    warningMargin: number("warningMargin") ?? 0,
    hysteresis: number("hysteresis") ?? 0,
    durationMinutes: number("durationMinutes") ?? 0,
    rateWindowMinutes: number("rateWindowMinutes") ?? 0,
    active: given.get("active") !== null,
    command: before.command,
    channels: channels.length === 0 ? null : channels,
    escalation: readEscalation(given),
  };
}
