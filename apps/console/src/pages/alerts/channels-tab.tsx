import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { request } from "../../api/request.ts";
import type { ChangedChannel, Channel } from "../../api/types/alert.ts";
import { useList } from "../../api/use-list.ts";
import { useMay } from "../../api/use-session.ts";
import { AddButton } from "../../parts/add-button.tsx";
import { Confirm, Dialog } from "../../parts/dialog.tsx";
import { Field } from "../../parts/field.tsx";
import { FormEnd, useForm } from "../../parts/form.tsx";
import { Listing } from "../../parts/listing.tsx";
import { Notice, Tag } from "../../parts/notice.tsx";
import { ShownOnce } from "../../parts/shown-once.tsx";
import { SEVERITIES } from "./severity-tag.tsx";

const KEY = ["channels"];
const KINDS: readonly [Channel["kind"], string][] = [
  ["webhook", "webhook"],
  ["email", "e-mail"],
  ["mqtt", "MQTT, topic system/alerts"],
];
const NEW: Channel = { id: 0, name: "", kind: "webhook", target: "", minSeverity: "warning", active: true };
const COLUMNS = ["Name", "By", "To", "From severity", "State", { name: "Actions", hidden: true }];
const pathOf = (name: string) => `/api/v1/alerts/channels/${encodeURIComponent(name)}`;
type Open = { what: "set" | "renew" | "remove"; channel: Channel };

/** Where alerts are told of: admins only, since they hold addresses. */
export function ChannelsTab() {
  const admin = useMay("admin");
  const [open, setOpen] = useState<Open>();
  const [secret, setSecret] = useState<string>();
  const client = useQueryClient();
  const channels = useList<Channel>(KEY, "/api/v1/alerts/channels", "channels", admin);
  if (!admin) {
    return (
      <Notice tone="plain" title="Only admins see this">
        Channels hold addresses and secrets of webhooks.
      </Notice>
    );
  }
  const close = () => setOpen(undefined);
  const changed = async (made: { secret?: string }) => {
    await client.invalidateQueries({ queryKey: KEY });
    setSecret(made.secret);
  };
  const add = <AddButton onClick={() => setOpen({ what: "set", channel: NEW })}>Add a channel</AddButton>;
  return (
    <>
      <Listing
        title="Channels"
        actions={add}
        result={channels}
        columns={COLUMNS}
        keyOf={({ id }) => id}
        empty={add}
      >
        {(channel) => (
          <tr>
            <td>
              <strong>{channel.name}</strong>
            </td>
            <td>{channel.kind}</td>
            <td className="wrap">{channel.target || "system/alerts"}</td>
            <td>{channel.minSeverity}</td>
            <td>
              <Tag tone={channel.active ? "ok" : "plain"}>{channel.active ? "active" : "off"}</Tag>
            </td>
            <td className="num">
              <span className="row end">
                {channel.kind === "webhook" && (
                  <button type="button" className="small" onClick={() => setOpen({ what: "renew", channel })}>
                    New secret …<span className="hidden"> {channel.name}</span>
                  </button>
                )}
                <button type="button" className="small" onClick={() => setOpen({ what: "set", channel })}>
                  Change<span className="hidden"> {channel.name}</span>
                </button>
                <button
                  type="button"
                  className="small danger"
                  onClick={() => setOpen({ what: "remove", channel })}
                >
                  Delete<span className="hidden"> {channel.name}</span>
                </button>
              </span>
            </td>
          </tr>
        )}
      </Listing>
      {open?.what === "set" && <SetChannel channel={open.channel} onDone={changed} onClose={close} />}
      {open?.what === "renew" && (
        <Confirm
          title={`New secret for ${open.channel.name}`}
          action="Make it"
          onClose={close}
          onConfirm={async () => changed(await request("POST", `${pathOf(open.channel.name)}/secret`, {}))}
        >
          <p>Receivers that check with the secret of before refuse what is sent from now on.</p>
        </Confirm>
      )}
      {open?.what === "remove" && (
        <Confirm
          title={`Delete ${open.channel.name}`}
          action="Delete"
          onClose={close}
          onConfirm={async () => changed(await request("DELETE", pathOf(open.channel.name)))}
        >
          <p>Nobody is told by it any more, also not of what waits to be sent.</p>
        </Confirm>
      )}
      {secret !== undefined && (
        <Dialog title="Secret of the webhook" onClose={() => setSecret(undefined)}>
          <ShownOnce label="secret" text={secret} onClose={() => setSecret(undefined)} />
        </Dialog>
      )}
    </>
  );
}

function SetChannel({
  channel,
  onDone,
  onClose,
}: {
  channel: Channel;
  onDone: (made: ChangedChannel) => Promise<void>;
  onClose: () => void;
}) {
  const isNew = channel.name === "";
  const [kind, setKind] = useState(channel.kind);
  const { busy, error, wrong, onSubmit } = useForm(async (form) => {
    const text = (name: string) => String(form.get(name) ?? "").trim();
    const made = await request<ChangedChannel>("PUT", pathOf(channel.name || text("name")), {
      kind,
      target: text("target"),
      minSeverity: text("minSeverity"),
      active: form.get("active") !== null,
    });
    await onDone(made);
  }, onClose);
  return (
    <Dialog title={isNew ? "Add a channel" : `Change ${channel.name}`} onClose={onClose}>
      <form className="stack" onSubmit={onSubmit}>
        {isNew && (
          <Field label="Name" error={wrong.name}>
            {(ids) => (
              <input {...ids} name="name" required pattern="[A-Za-z0-9_.\-]{1,100}" placeholder="on-call" />
            )}
          </Field>
        )}
        <Field label="By">
          {(ids) => (
            <select {...ids} value={kind} onChange={({ target }) => setKind(target.value as Channel["kind"])}>
              {KINDS.map(([id, name]) => (
                <option key={id} value={id}>
                  {name}
                </option>
              ))}
            </select>
          )}
        </Field>
        {kind !== "mqtt" && (
          <Field
            label="To"
            hint={kind === "webhook" ? "a URL; what is sent is signed" : "addresses with commas between"}
            error={wrong.target}
          >
            {(ids) => (
              <input {...ids} name="target" required maxLength={2000} defaultValue={channel.target} />
            )}
          </Field>
        )}
        <Field label="From severity">
          {(ids) => (
            <select {...ids} name="minSeverity" defaultValue={channel.minSeverity}>
              {SEVERITIES.map((severity) => (
                <option key={severity}>{severity}</option>
              ))}
            </select>
          )}
        </Field>
        <label className="check">
          <input type="checkbox" name="active" defaultChecked={channel.active} />
          The channel is active
        </label>
        <FormEnd action="Save" busy={busy} error={error} onClose={onClose} />
      </form>
    </Dialog>
  );
}
