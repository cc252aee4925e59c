import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { request } from "../../api/request.ts";
import type { Calibration, Sensor } from "../../api/types/device.ts";
import { useList } from "../../api/use-list.ts";
import { useMay } from "../../api/use-session.ts";
import { instant, value } from "../../format.ts";
import { Dialog } from "../../parts/dialog.tsx";
import { Field } from "../../parts/field.tsx";
import { FormEnd, useForm } from "../../parts/form.tsx";
import { Listing } from "../../parts/listing.tsx";
import { Empty } from "../../parts/notice.tsx";
import { Table } from "../../parts/page.tsx";

const COLUMNS = ["Field", "Unit", { name: "Offset", num: true }, "State", { name: "Actions", hidden: true }];

/** What a device measures: unit and calibration of each field. */
export function SensorsPanel({ device }: { device: string }) {
  const mayWrite = useMay("write");
  const [open, setOpen] = useState<Sensor>();
  const key = ["sensors", device];
  const path = `/api/v1/sensors?limit=1000&device=${encodeURIComponent(device)}`;
  const sensors = useList<Sensor>(key, path, "sensors");
  return (
    <>
      <Listing
        title="Sensors"
        result={sensors}
        columns={COLUMNS}
        cards={false}
        keyOf={({ id }) => id}
        empty={<Empty title="No fields yet">They are here as soon as it has sent some.</Empty>}
      >
        {(sensor) => (
          <tr>
            <td>
              <strong>{sensor.field}</strong>
              {sensor.type !== null && (
                <>
                  <br />
                  <small className="muted">{sensor.type}</small>
                </>
              )}
            </td>
            <td>{sensor.unit ?? "–"}</td>
            <td className="num">{sensor.calibrationOffset === 0 ? "0" : signed(sensor.calibrationOffset)}</td>
            <td>{sensor.status}</td>
            <td className="num">
              {mayWrite && sensor.valueType !== "text" && (
                <button type="button" className="small" onClick={() => setOpen(sensor)}>
                  Calibrate …<span className="hidden"> {sensor.field}</span>
                </button>
              )}
            </td>
          </tr>
        )}
      </Listing>
      {open && <Calibrate sensor={open} listKey={key} onClose={() => setOpen(undefined)} />}
    </>
  );
}

const signed = (offset: number) => (offset > 0 ? `+${value(offset)}` : value(offset));

function Calibrate({
  sensor,
  listKey,
  onClose,
}: {
  sensor: Sensor;
  listKey: readonly unknown[];
  onClose: () => void;
}) {
  const client = useQueryClient();
  const path = `/api/v1/sensors/${sensor.id}/calibrations`;
  const { items: past = [] } = useList<Calibration>(["calibrations", sensor.id], path, "calibrations");
  const { busy, error, wrong, onSubmit } = useForm(async (form) => {
    const text = (name: string) => String(form.get(name)).trim();
    const [due, notes] = [text("nextDue"), text("notes")];
    await request("POST", path, {
      offset: Number(text("offset")),
      ...(due === "" ? {} : { nextDue: new Date(due).toISOString() }),
      ...(notes === "" ? {} : { notes }),
    });
    await client.invalidateQueries({ queryKey: listKey });
    await client.invalidateQueries({ queryKey: ["calibrations", sensor.id] });
  }, onClose);
  return (
    <Dialog title={`Calibrate ${sensor.field}`} onClose={onClose} wide>
      <form className="stack" onSubmit={onSubmit}>
        <p className="muted">
          The offset is added whenever a reading is shown, also one of the past. What is stored stays.
        </p>
        <div className="fields">
          <Field label={`Offset${sensor.unit ? ` (${sensor.unit})` : ""}`} error={wrong.offset}>
            {(ids) => (
              <input
                {...ids}
                name="offset"
                type="number"
                step="any"
                required
                defaultValue={sensor.calibrationOffset}
              />
            )}
          </Field>
          <Field label="Next due (optional)" error={wrong.nextDue}>
            {(ids) => <input {...ids} name="nextDue" type="date" />}
          </Field>
        </div>
        <Field label="Notes (optional)" error={wrong.notes}>
          {(ids) => <input {...ids} name="notes" maxLength={2000} placeholder="against pH 7.00 buffer" />}
        </Field>
        {past.length > 0 && (
          <Table
            label="Calibrations before"
            columns={["When", { name: "Offset", num: true }, "Next due", "Notes"]}
          >
            {past.map(({ id, at, offsetAfter, nextDue, notes }) => (
              <tr key={id}>
                <td className="nowrap">{instant(at)}</td>
                <td className="num">{value(offsetAfter)}</td>
                <td className="nowrap">{nextDue === null ? "–" : instant(nextDue)}</td>
                <td className="wrap">{notes ?? "–"}</td>
              </tr>
            ))}
          </Table>
        )}
        <FormEnd action="Save" busy={busy} error={error} onClose={onClose} />
      </form>
    </Dialog>
  );
}
