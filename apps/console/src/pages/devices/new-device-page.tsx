import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { request } from "../../api/request.ts";
import type { Credentials } from "../../api/types/device.ts";
import type { LiveReading } from "../../api/types/series.ts";
import { useReadings } from "../../api/use-events.ts";
import { value } from "../../format.ts";
import { Field } from "../../parts/field.tsx";
import { useForm } from "../../parts/form.tsx";
import { Notice, Problem } from "../../parts/notice.tsx";
import { Page, Panel } from "../../parts/page.tsx";
import { ConnectPanel, SecretsOnce } from "./connect-panel.tsx";
import { LiveCharts, useLiveSeries } from "./live-charts.tsx";

/** Adds a device and stays until its first reading is there. */
export function NewDevicePage() {
  const [made, setMade] = useState<Credentials & { id: string }>();
  return (
    <Page title="Add a device" lead="Three steps: name it, connect it, see its first reading.">
      <ol className="steps">
        <li aria-current={made ? undefined : "step"}>
          <Panel title="1 · Name it">{made ? <p>{made.id}</p> : <NameForm onMade={setMade} />}</Panel>
        </li>
        {made && <Connect made={made} />}
      </ol>
    </Page>
  );
}

function NameForm({ onMade }: { onMade: (device: Credentials & { id: string }) => void }) {
  const client = useQueryClient();
  const { busy, error, wrong, onSubmit } = useForm(async (form) => {
    const given = Object.fromEntries([...form].filter(([, text]) => text !== ""));
    const device = await request<Credentials & { id: string }>("POST", "/api/v1/devices", given);
    await client.invalidateQueries({ queryKey: ["devices"] });
    onMade(device);
  });
  return (
    <form className="stack" onSubmit={onSubmit}>
      <div className="fields">
        <Field
          label="Device id"
          hint="Letters, digits, - _ and . — it is part of its topics"
          error={wrong.id}
        >
          {(ids) => (
            <input
              {...ids}
              name="id"
              required
              pattern="[A-Za-z0-9._\-]{1,100}"
              placeholder="greenhouse-1"
              autoComplete="off"
            />
          )}
        </Field>
        <Field label="Type (optional)" error={wrong.type}>
          {(ids) => <input {...ids} name="type" maxLength={50} placeholder="esp32" />}
        </Field>
        <Field label="Name (optional)" error={wrong.name}>
          {(ids) => <input {...ids} name="name" maxLength={200} placeholder="Greenhouse, north bench" />}
        </Field>
        <Field label="Where it is (optional)" error={wrong.location}>
          {(ids) => <input {...ids} name="location" maxLength={200} placeholder="Hall 2" />}
        </Field>
      </div>
      {error !== undefined && <Problem error={error} />}
      <div className="row">
        <button type="submit" className="primary" disabled={busy}>
          {busy ? "Adding …" : "Add it"}
        </button>
        <Link to="/devices" className="button">
          Cancel
        </Link>
      </div>
    </form>
  );
}

function Connect({ made }: { made: Credentials & { id: string } }) {
  const [first, setFirst] = useState<LiveReading>();
  const { series, hear } = useLiveSeries();
  const listening = useReadings(made.id, (reading) => {
    setFirst((before) => before ?? reading);
    hear(reading);
  });
  return (
    <>
      <li aria-current={first ? undefined : "step"}>
        <Panel title="2 · Connect it">
          <div className="stack">
            <SecretsOnce credentials={made} />
            <ConnectPanel device={made.id} credentials={made} />
          </div>
        </Panel>
      </li>
      <li aria-current={first ? "step" : undefined} aria-live="polite">
        <Panel title="3 · See its first reading">
          {first === undefined ? (
            <Waiting listening={listening} />
          ) : (
            <div className="stack">
              <Notice tone="ok" title="It is here">
                {summary(first)}
              </Notice>
              <LiveCharts series={series} />
              <Link to={`/devices/${encodeURIComponent(made.id)}`} className="button primary">
                Go to the device
              </Link>
            </div>
          )}
        </Panel>
      </li>
    </>
  );
}

function Waiting({ listening }: { listening: boolean }) {
  return (
    <div className="waiting">
      <span className="pulse" aria-hidden />
      <div>
        <strong>{listening ? "Listening for its first reading" : "Connecting to the live stream"}</strong>
        <p className="muted">
          Run the line above. If nothing comes, look into <Link to="/streams?tab=quarantine">quarantine</Link>
          : whatever was refused is there with the reason.
        </p>
      </div>
    </div>
  );
}

function summary({ samples }: LiveReading): string {
  const readings = Object.entries(samples.at(-1)?.readings ?? {});
  return readings.map(([field, reading]) => `${field} ${value(reading)}`).join(", ");
}
