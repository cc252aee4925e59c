import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { request } from "../../api/request.ts";
import type { ApiKey } from "../../api/types/session.ts";
import { useList } from "../../api/use-list.ts";
import { ago, instant } from "../../format.ts";
import { AddButton } from "../../parts/add-button.tsx";
import { Confirm, Dialog } from "../../parts/dialog.tsx";
import { Field } from "../../parts/field.tsx";
import { FormEnd, useForm } from "../../parts/form.tsx";
import { Listing } from "../../parts/listing.tsx";
import { Empty, Tag } from "../../parts/notice.tsx";
import { ShownOnce } from "../../parts/shown-once.tsx";
import { splitNames } from "../../parts/split-names.ts";

const COLUMNS = [
  "Name",
  "Begins with",
  "May",
  "Devices",
  "Last used",
  "Until",
  { name: "Actions", hidden: true },
];

/** Keys of programs; devices have keys of their own. */
export function KeysTab() {
  const [adding, setAdding] = useState(false);
  const [revoking, setRevoking] = useState<ApiKey>();
  const client = useQueryClient();
  const keys = useList<ApiKey>(["keys"], "/api/v1/keys", "keys");
  const add = <AddButton onClick={() => setAdding(true)}>Make a key</AddButton>;
  return (
    <>
      <Listing
        title="Keys of programs"
        actions={add}
        result={keys}
        columns={COLUMNS}
        keyOf={({ id }) => id}
        empty={
          <Empty title="No keys yet" action={add}>
            A key lets a program such as Grafana or a script use the API. Give it as little as it needs: read
            is enough for charts.
          </Empty>
        }
      >
        {(key) => (
          <tr>
            <td>
              <strong>{key.name}</strong>
            </td>
            <td className="mono">{key.prefix}…</td>
            <td>{key.scopes.join(", ")}</td>
            <td>{key.devices === null ? "all" : key.devices.join(", ")}</td>
            <td className="nowrap">{ago(key.lastUsedAt)}</td>
            <td className="nowrap">
              {key.revokedAt !== null ? (
                <Tag tone="plain">revoked</Tag>
              ) : key.expiresAt === null ? (
                "no end"
              ) : (
                instant(key.expiresAt)
              )}
            </td>
            <td className="num">
              {key.revokedAt === null && (
                <button type="button" className="small danger" onClick={() => setRevoking(key)}>
                  Revoke<span className="hidden"> {key.name}</span>
                </button>
              )}
            </td>
          </tr>
        )}
      </Listing>
      {adding && <AddKey onClose={() => setAdding(false)} />}
      {revoking && (
        <Confirm
          title={`Revoke ${revoking.name}`}
          action="Revoke"
          onClose={() => setRevoking(undefined)}
          onConfirm={async () => {
            await request("DELETE", `/api/v1/keys/${revoking.id}`);
            await client.invalidateQueries({ queryKey: ["keys"] });
          }}
        >
          <p>
            Whatever uses this key stops working within three seconds. It cannot be taken back; make another
            key instead.
          </p>
        </Confirm>
      )}
    </>
  );
}

function AddKey({ onClose }: { onClose: () => void }) {
  const [made, setMade] = useState<string>();
  const client = useQueryClient();
  const { busy, error, wrong, onSubmit } = useForm(async (form) => {
    const devices = splitNames(String(form.get("devices")));
    const until = String(form.get("expiresAt"));
    const { key } = await request<{ key: string }>("POST", "/api/v1/keys", {
      name: String(form.get("name")),
      scopes: [String(form.get("scope"))],
      ...(devices.length === 0 ? {} : { devices }),
      ...(until === "" ? {} : { expiresAt: new Date(until).toISOString() }),
    });
    await client.invalidateQueries({ queryKey: ["keys"] });
    setMade(key);
  });
  return (
    <Dialog title="Make a key" onClose={onClose}>
      {made === undefined ? (
        <form className="stack" onSubmit={onSubmit}>
          <Field label="What it is for" error={wrong.name}>
            {(ids) => <input {...ids} name="name" required maxLength={100} placeholder="grafana" />}
          </Field>
          <Field label="It may">
            {(ids) => (
              <select {...ids} name="scope" defaultValue="read">
                <option value="read">read</option>
                <option value="write">read and write</option>
                <option value="admin">do everything</option>
              </select>
            )}
          </Field>
          <Field label="Only these devices (optional)" hint="ids, with commas between" error={wrong.devices}>
            {(ids) => <input {...ids} name="devices" placeholder="all" />}
          </Field>
          <Field label="Until (optional)">
            {(ids) => <input {...ids} name="expiresAt" type="datetime-local" />}
          </Field>
          <FormEnd action="Make it" busy={busy} error={error} onClose={onClose} />
        </form>
      ) : (
        <ShownOnce label="key" text={made} onClose={onClose} />
      )}
    </Dialog>
  );
}
