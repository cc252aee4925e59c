import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { get, request } from "../../api/request.ts";
import type { RetentionPolicy } from "../../api/types/job.ts";
import { useMay } from "../../api/use-session.ts";
import { ago, count } from "../../format.ts";
import { Confirm } from "../../parts/dialog.tsx";
import { Field } from "../../parts/field.tsx";
import { useForm } from "../../parts/form.tsx";
import { Empty, Problem, Skeleton, Tag } from "../../parts/notice.tsx";
import { Panel, Table } from "../../parts/page.tsx";

const TABLES = ["measurement", "measurement_text", "rollup_5m", "rollup_1h", "rollup_1d"] as const;
const COLUMNS = [
  "Table",
  "Kind of sensor",
  { name: "Days", num: true },
  "State",
  "Last purge",
  { name: "Rows deleted", num: true },
  { name: "Actions", hidden: true },
];
const KEY = ["retention"];

/** How long what is kept. */
export function RetentionTab() {
  const [removing, setRemoving] = useState<RetentionPolicy>();
  const client = useQueryClient();
  const admin = useMay("admin");
  const { data, error } = useQuery({
    queryKey: KEY,
    queryFn: ({ signal }) => get<{ policies: RetentionPolicy[] }>("/api/v1/retention", signal),
  });
  return (
    <div className="stack">
      <Panel title="What is kept how long">
        {error && <Problem error={error} />}
        {data === undefined && !error && <Skeleton />}
        {data?.policies.length === 0 && (
          <Empty title="Everything is kept for ever">
            With a policy the scheduler deletes what is older. Readings that are not rolled up yet are never
            deleted.
          </Empty>
        )}
        {data && data.policies.length > 0 && (
          <Table label="Retention" columns={COLUMNS}>
            {data.policies.map((policy) => (
              <tr key={`${policy.table} ${policy.sensorType}`}>
                <td className="mono">{policy.table}</td>
                <td>{policy.sensorType === "*" ? "all others" : policy.sensorType}</td>
                <td className="num">{count(policy.days)}</td>
                <td>
                  <Tag tone={policy.active ? "ok" : "plain"}>{policy.active ? "active" : "off"}</Tag>
                </td>
                <td className="nowrap">{ago(policy.lastPurge)}</td>
                <td className="num">{count(policy.rowsPurged)}</td>
                <td className="num">
                  {admin && (
                    <button type="button" className="small danger" onClick={() => setRemoving(policy)}>
                      Take away<span className="hidden"> the policy of {policy.table}</span>
                    </button>
                  )}
                </td>
              </tr>
            ))}
          </Table>
        )}
      </Panel>
      {admin && <SetPolicy />}
      {removing && (
        <Confirm
          title="Take a policy away"
          action="Take away"
          onClose={() => setRemoving(undefined)}
          onConfirm={async () => {
            const path = `${removing.table}/${encodeURIComponent(removing.sensorType)}`;
            await request("DELETE", `/api/v1/retention/${path}`);
            await client.invalidateQueries({ queryKey: KEY });
          }}
        >
          <p>From now on nothing of {removing.table} is deleted for it.</p>
        </Confirm>
      )}
    </div>
  );
}

function SetPolicy() {
  const client = useQueryClient();
  const [asking, setAsking] = useState<{ table: string; sensorType: string; days: number }>();
  const { error, onSubmit } = useForm(async (form) => {
    const sensorType = String(form.get("sensorType")).trim() || "*";
    setAsking({ table: String(form.get("table")), sensorType, days: Number(form.get("days")) });
  });
  return (
    <Panel title="Set a policy">
      <form className="filters" onSubmit={onSubmit}>
        <Field label="Table">
          {(ids) => (
            <select {...ids} name="table">
              {TABLES.map((table) => (
                <option key={table}>{table}</option>
              ))}
            </select>
          )}
        </Field>
        <Field label="Kind of sensor" hint="its type, its own name, or * for all others">
          {(ids) => <input {...ids} name="sensorType" defaultValue="*" maxLength={100} />}
        </Field>
        <Field label="Days">
          {(ids) => <input {...ids} name="days" type="number" min={1} max={36500} required />}
        </Field>
        <button type="submit">Set …</button>
      </form>
      {error !== undefined && <Problem error={error} />}
      {asking && (
        <Confirm
          title="Set a policy"
          action={`Keep ${asking.days} days`}
          onClose={() => setAsking(undefined)}
          onConfirm={async () => {
            const path = `${asking.table}/${encodeURIComponent(asking.sensorType)}`;
            await request("PUT", `/api/v1/retention/${path}`, { days: asking.days });
            await client.invalidateQueries({ queryKey: KEY });
          }}
        >
          <p>
            Rows of <code>{asking.table}</code> older than {count(asking.days)} days are deleted at the next
            purge and do not come back.
          </p>
        </Confirm>
      )}
    </Panel>
  );
}
