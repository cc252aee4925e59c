import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { get, request } from "../../api/request.ts";
import type { Refusal, Replay } from "../../api/types/message.ts";
import { useMay } from "../../api/use-session.ts";
import { bytes, instant } from "../../format.ts";
import { Dialog } from "../../parts/dialog.tsx";
import { Facts } from "../../parts/facts.tsx";
import { Field } from "../../parts/field.tsx";
import { useForm } from "../../parts/form.tsx";
import { Notice, Problem, Skeleton } from "../../parts/notice.tsx";
import { DiscardDialog, Preview, ReplayDialog } from "./quarantine-dialogs.tsx";

/** One refusal: what came, why it was refused, and mending it. */
export function RefusalDialog({ id, onClose }: { id: number; onClose: () => void }) {
  const { data, error } = useQuery({
    queryKey: ["refusal", id],
    queryFn: ({ signal }) => get<Refusal>(`/api/v1/quarantine/${id}`, signal),
  });
  return (
    <Dialog title={`Refusal ${id}`} onClose={onClose} wide>
      {error && <Problem error={error} />}
      {data === undefined && !error && <Skeleton />}
      {data && <Mend key={data.status} refusal={data} onClose={onClose} />}
    </Dialog>
  );
}

function Mend({ refusal, onClose }: { refusal: Refusal; onClose: () => void }) {
  const { id, reason, detail, source, topic, receivedAt, status, truncated, boot, seq } = refusal;
  const [asking, setAsking] = useState<"replay" | "discard">();
  const client = useQueryClient();
  const mayChange = useMay("write");
  const waits = status === "open" || status === "fixed";
  const [checked, setChecked] = useState<Replay>();
  const { busy, error, onSubmit } = useForm(async (form) => {
    setChecked(undefined);
    const text = (name: string) => String(form.get(name)).trim();
    const fix = {
      ...(form.get("payload") === refusal.payload ? {} : { payload: String(form.get("payload")) }),
      ...(text("device") === (refusal.device ?? "") ? {} : { device: text("device") }),
      ...(text("type") === (refusal.type ?? "") ? {} : { type: text("type") }),
    };
    if (Object.keys(fix).length > 0) await request("PATCH", `/api/v1/quarantine/${id}`, fix);
    setChecked(await request<Replay>("POST", "/api/v1/quarantine/replay", { ids: [id], dryRun: true }));
    await client.invalidateQueries({ queryKey: ["quarantine"] });
  });
  return (
    <form className="stack" onSubmit={onSubmit}>
      <Notice tone={waits ? "bad" : "plain"} title={waits ? reason : `${reason}, ${status}`}>
        {detail}
      </Notice>
      <Facts
        facts={{
          Arrived: instant(receivedAt),
          "Came by": source,
          "Boot, seq": `${boot ?? "–"}, ${seq ?? "–"}`,
          Size: `${bytes(refusal.bytes)}${truncated ? ", cut" : ""}`,
        }}
      />
      {topic !== null && <p className="muted mono">{topic}</p>}
      <Field
        label="Payload"
        hint={waits ? "As it was sent; change it to what it should have been." : undefined}
      >
        {(ids) => (
          <textarea
            {...ids}
            name="payload"
            defaultValue={refusal.payload}
            readOnly={!waits || !mayChange}
            spellCheck={false}
          />
        )}
      </Field>
      <div className="fields">
        <Field label="Device">
          {(ids) => (
            <input
              {...ids}
              name="device"
              defaultValue={refusal.device ?? ""}
              readOnly={!waits || !mayChange}
            />
          )}
        </Field>
        <Field label="Type of message">
          {(ids) => (
            <input {...ids} name="type" defaultValue={refusal.type ?? ""} readOnly={!waits || !mayChange} />
          )}
        </Field>
      </div>
      {error !== undefined && <Problem error={error} />}
      {checked && <Preview replay={checked} />}
      {waits && mayChange && (
        <footer className="row end">
          <button type="button" className="danger" onClick={() => setAsking("discard")}>
            Discard …
          </button>
          <button type="submit" className={checked?.replayed.length ? "" : "primary"} disabled={busy}>
            {busy ? "Checking …" : "Save and check"}
          </button>
          <button
            type="button"
            className={checked?.replayed.length ? "primary" : ""}
            disabled={!checked?.replayed.length}
            onClick={() => setAsking("replay")}
          >
            Replay …
          </button>
        </footer>
      )}
      {asking === "replay" && (
        <ReplayDialog ids={[id]} onClose={() => setAsking(undefined)} onDone={onClose} />
      )}
      {asking === "discard" && (
        <DiscardDialog ids={[id]} onClose={() => setAsking(undefined)} onDone={onClose} />
      )}
    </form>
  );
}
