import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "wouter";
import { request } from "../../api/request.ts";
import type { DeviceDetail } from "../../api/types/device.ts";
import { useMay } from "../../api/use-session.ts";
import { Confirm } from "../../parts/dialog.tsx";
import { Field } from "../../parts/field.tsx";
import { useForm } from "../../parts/form.tsx";
import { Notice, Problem } from "../../parts/notice.tsx";
import { Panel } from "../../parts/page.tsx";
import { SensorsPanel } from "./sensors-panel.tsx";

/** What can be changed about a device. */
export function DeviceSettings({ device }: { device: DeviceDetail }) {
  const mayWrite = useMay("write");
  const mayAdmin = useMay("admin");
  return (
    <>
      <SensorsPanel device={device.id} />
      <div className="split">
        <Panel title="Description">
          {mayWrite ? (
            <Description device={device} />
          ) : (
            <p className="muted">Changing it needs the role operator.</p>
          )}
        </Panel>
        {mayAdmin && <Access device={device} />}
      </div>
    </>
  );
}

function Description({ device }: { device: DeviceDetail }) {
  const client = useQueryClient();
  const [saved, setSaved] = useState(false);
  const { busy, error, onSubmit } = useForm(async (form) => {
    setSaved(false);
    const text = (name: string) => String(form.get(name)) || null;
    const change = { name: text("name"), location: text("location"), type: text("type") ?? device.type };
    await request("PATCH", `/api/v1/devices/${encodeURIComponent(device.id)}`, change);
    await client.invalidateQueries({ queryKey: ["device", device.id] });
    setSaved(true);
  });
  return (
    <form className="stack" onSubmit={onSubmit}>
      <Field label="Name">
        {(ids) => <input {...ids} name="name" defaultValue={device.name ?? ""} maxLength={200} />}
      </Field>
      <Field label="Where it is">
        {(ids) => <input {...ids} name="location" defaultValue={device.location ?? ""} maxLength={200} />}
      </Field>
      <Field label="Type">
        {(ids) => <input {...ids} name="type" defaultValue={device.type} maxLength={50} />}
      </Field>
      {error !== undefined && <Problem error={error} />}
      {saved && <Notice tone="ok" title="Saved" />}
      <div className="row">
        <button type="submit" className="primary" disabled={busy}>
          Save
        </button>
      </div>
    </form>
  );
}

function Access({ device: { id, access } }: { device: DeviceDetail }) {
  const client = useQueryClient();
  const [, navigate] = useLocation();
  const [asking, setAsking] = useState<"disable" | "enable" | "remove">();
  const path = `/api/v1/devices/${encodeURIComponent(id)}`;
  const act = async () => {
    if (asking === "remove") await request("DELETE", path);
    else await request("POST", `${path}/${asking}`, {});
    await client.invalidateQueries({ queryKey: asking === "remove" ? ["devices"] : ["device", id] });
    if (asking === "remove") navigate("/devices");
  };
  const texts = {
    disable: [
      "Turn it away",
      `${id} is disconnected and may not send until it is let in again. Nothing is deleted.`,
    ],
    enable: ["Let it in", `${id} may connect and send again.`],
    remove: [
      "Remove",
      `${id} and its credential are removed from the list. Its readings stay, and adding the id again brings them back.`,
    ],
  } as const;
  return (
    <Panel title="Access">
      <div className="row">
        {access === "disabled" ? (
          <button type="button" onClick={() => setAsking("enable")}>
            Let it in again
          </button>
        ) : (
          <button
            type="button"
            className="danger"
            onClick={() => setAsking("disable")}
            disabled={access === "none"}
          >
            Turn it away
          </button>
        )}
        <button type="button" className="danger" onClick={() => setAsking("remove")}>
          Remove the device
        </button>
      </div>
      {asking && (
        <Confirm
          title={`${texts[asking][0]}: ${id}`}
          action={texts[asking][0]}
          tone={asking === "enable" ? "primary" : "danger"}
          onConfirm={act}
          onClose={() => setAsking(undefined)}
        >
          {texts[asking][1]}
        </Confirm>
      )}
    </Panel>
  );
}
