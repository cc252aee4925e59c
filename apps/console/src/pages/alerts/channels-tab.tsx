import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ApiError, get, request } from "../../api/request.ts";
import type { Channel, Severity } from "../../api/types.ts";
import { useMay } from "../../api/use-session.ts";
import { Confirm, useAction } from "../../parts/dialog.tsx";
import { Field } from "../../parts/field.tsx";
import { Notice, Problem, Skeleton, Tag } from "../../parts/notice.tsx";
import { Panel, Table } from "../../parts/page.tsx";
import { SEVERITIES } from "./severity-tag.tsx";

const KEY = ["channels"];
const KINDS: readonly [Channel["kind"], string][] = [
  ["email", "e-mail"],
  ["webhook", "webhook"],
  ["mqtt", "MQTT, topic system/alerts"],
];

/** Where alerts are told of: admins only, since they hold addresses. */
export function ChannelsTab() {
  const admin = useMay("admin");
  const [removing, setRemoving] = useState<Channel>();
  const client = useQueryClient();
  const { data, error } = useQuery({
    queryKey: KEY,
    queryFn: ({ signal }) => get<{ channels: Channel[] }>("/api/v1/alerts/channels", signal),
    enabled: admin,
  });
  if (!admin) {
    return (
      <Notice tone="plain" title="Only admins see this">
        Channels hold addresses and secrets of webhooks.
      </Notice>
    );
  }
  return (
    <div className="stack">
      <Panel title="Channels">
        {error && <Problem error={error} />}
        {data === undefined && !error && <Skeleton />}
        {data && (
          <Table
            label="Channels"
            columns={["Name", "By", "To", "From severity", "State", { name: "Actions", hidden: true }]}
          >
            {data.channels.map((channel) => (
              <tr key={channel.id}>
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
                  <button type="button" className="small danger" onClick={() => setRemoving(channel)}>
                    Delete<span className="hidden"> {channel.name}</span>
                  </button>
                </td>
              </tr>
            ))}
          </Table>
        )}
      </Panel>
      <SetChannel />
      {removing && (
        <Confirm
          title={`Delete ${removing.name}`}
          action="Delete"
          onClose={() => setRemoving(undefined)}
          onConfirm={async () => {
            await request("DELETE", `/api/v1/alerts/channels/${encodeURIComponent(removing.name)}`);
            await client.invalidateQueries({ queryKey: KEY });
          }}
        >
          <p>Nobody is told by it any more, also not of what waits to be sent.</p>
        </Confirm>
      )}
    </div>
  );
}

function SetChannel() {
  const client = useQueryClient();
  const { busy, error, run } = useAction(async (form: FormData) => {
    const text = (name: string) => String(form.get(name)).trim();
    await request("PUT", `/api/v1/alerts/channels/${encodeURIComponent(text("name"))}`, {
      kind: text("kind") as Channel["kind"],
      target: text("target"),
      minSeverity: text("minSeverity") as Severity,
    });
    await client.invalidateQueries({ queryKey: KEY });
  });
  const wrong = error instanceof ApiError ? error.fields : {};
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    void run(new FormData(event.currentTarget));
  };
  return (
    <Panel title="Add or change a channel">
      <form className="stack" onSubmit={submit}>
        <div className="fields">
          <Field label="Name" hint="one that is there is changed" error={wrong.name}>
            {(ids) => (
              <input {...ids} name="name" required pattern="[A-Za-z0-9_.\-]{1,100}" placeholder="on-call" />
            )}
          </Field>
          <Field label="By">
            {(ids) => (
              <select {...ids} name="kind">
                {KINDS.map(([kind, name]) => (
                  <option key={kind} value={kind}>
                    {name}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <Field
            label="To"
            hint="addresses with commas between, a URL, or nothing for MQTT"
            error={wrong.target}
          >
            {(ids) => <input {...ids} name="target" maxLength={2000} />}
          </Field>
          <Field label="From severity">
            {(ids) => (
              <select {...ids} name="minSeverity">
                {SEVERITIES.map((severity) => (
                  <option key={severity}>{severity}</option>
                ))}
              </select>
            )}
          </Field>
        </div>
        {error !== undefined && <Problem error={error} />}
        <div className="row">
          <button type="submit" disabled={busy}>
            Save
          </button>
        </div>
      </form>
    </Panel>
  );
}
