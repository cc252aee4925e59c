import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { request } from "../../api/request.ts";
import type { QualityLimits } from "../../api/types/series.ts";
import { useList } from "../../api/use-list.ts";
import { useMay } from "../../api/use-session.ts";
import { value } from "../../format.ts";
import { AddButton } from "../../parts/add-button.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { Field } from "../../parts/field.tsx";
import { FormEnd, useForm } from "../../parts/form.tsx";
import { Listing } from "../../parts/listing.tsx";

const KEY = ["quality"];
const NONE: QualityLimits = {
  sensorType: "",
  min: null,
  max: null,
  spike: null,
  ratePerMinute: null,
  flatCount: null,
  flatMinutes: 0,
  gapSeconds: null,
};
const COLUMNS = [
  "Sensor or type",
  "Range",
  { name: "Spike", num: true },
  { name: "A minute", num: true },
  "Flat line",
  { name: "Gap (s)", num: true },
  { name: "Actions", hidden: true },
];

/** From where on readings are flagged as doubtful, by type of sensor. */
export function LimitsTab() {
  const mayWrite = useMay("write");
  const [open, setOpen] = useState<QualityLimits>();
  const limits = useList<QualityLimits>(KEY, "/api/v1/quality/thresholds", "thresholds");
  return (
    <>
      <Listing
        title="Limits of readings"
        actions={mayWrite && <AddButton onClick={() => setOpen(NONE)}>Add limits</AddButton>}
        result={limits}
        columns={COLUMNS}
        cards={false}
        keyOf={({ sensorType }) => sensorType}
        empty={null}
      >
        {(one) => (
          <tr>
            <td>
              <strong>{one.sensorType === "*" ? "all others" : one.sensorType}</strong>
            </td>
            <td className="nowrap">{range(one)}</td>
            <td className="num">{value(one.spike)}</td>
            <td className="num">{value(one.ratePerMinute)}</td>
            <td className="nowrap">
              {one.flatCount === null ? "–" : `${one.flatCount} equal, ${one.flatMinutes} min`}
            </td>
            <td className="num">{value(one.gapSeconds)}</td>
            <td className="num">
              {mayWrite && (
                <button type="button" className="small" onClick={() => setOpen(one)}>
                  Change<span className="hidden"> {one.sensorType}</span>
                </button>
              )}
            </td>
          </tr>
        )}
      </Listing>
      {open && <SetLimits limits={open} onClose={() => setOpen(undefined)} />}
    </>
  );
}

const range = ({ min, max }: QualityLimits) =>
  min === null && max === null
    ? "–"
    : `${min === null ? "" : value(min)} … ${max === null ? "" : value(max)}`;

const FIELDS = [
  ["min", "Not below", ""],
  ["max", "Not above", ""],
  ["spike", "Spike", "further than this from both neighbours"],
  ["ratePerMinute", "Rate", "change a minute"],
  ["flatCount", "Flat line", "so many equal values in a row"],
  ["flatMinutes", "that last (minutes)", ""],
  ["gapSeconds", "Gap (seconds)", "empty: five sample intervals"],
] as const;

function SetLimits({ limits, onClose }: { limits: QualityLimits; onClose: () => void }) {
  const client = useQueryClient();
  const isNew = limits.sensorType === "";
  const { busy, error, wrong, onSubmit } = useForm(async (form) => {
    const text = (name: string) => String(form.get(name) ?? "").trim();
    const numbers = FIELDS.map(([name]) => [name, text(name) === "" ? null : Number(text(name))]);
    const body = Object.fromEntries(numbers) as Omit<QualityLimits, "sensorType">;
    const type = isNew ? text("sensorType") : limits.sensorType;
    await request("PUT", `/api/v1/quality/thresholds/${encodeURIComponent(type)}`, {
      ...body,
      flatMinutes: body.flatMinutes ?? 0,
    });
    await client.invalidateQueries({ queryKey: KEY });
  }, onClose);
  return (
    <Dialog title={isNew ? "Add limits" : `Limits of ${limits.sensorType}`} onClose={onClose} wide>
      <form className="stack" onSubmit={onSubmit}>
        <p className="muted">
          A reading beyond them is stored all the same, with a flag that charts and downloads show.
        </p>
        <div className="fields">
          {isNew && (
            <Field label="Of which sensors" hint="a field, or a type of sensor">
              {(ids) => (
                <input {...ids} name="sensorType" required maxLength={128} placeholder="temperature" />
              )}
            </Field>
          )}
          {FIELDS.map(([name, label, hint]) => (
            <Field key={name} label={label} hint={hint || undefined} error={wrong[name]}>
              {(ids) => (
                <input {...ids} name={name} type="number" step="any" defaultValue={limits[name] ?? ""} />
              )}
            </Field>
          ))}
        </div>
        <FormEnd action="Save" busy={busy} error={error} onClose={onClose} />
      </form>
    </Dialog>
  );
}
