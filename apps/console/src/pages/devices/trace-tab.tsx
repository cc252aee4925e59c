import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Link } from "wouter";
import { get, query } from "../../api/request.ts";
import type { Trace } from "../../api/types/message.ts";
import { instant, value } from "../../format.ts";
import { Field } from "../../parts/field.tsx";
import { Notice, Problem, Skeleton, type Tone } from "../../parts/notice.tsx";
import { Panel, Table } from "../../parts/page.tsx";

const TONES: Record<Trace["state"], Tone> = {
  stored: "ok",
  settled: "ok",
  waiting: "warn",
  refused: "bad",
  missing: "bad",
  unknown: "plain",
};

/** Where a message of the device is: by its sequence number, or by when it was. */
export function TraceTab({ device }: { device: string }) {
  const [wanted, setWanted] = useState<{ seq?: string; at?: string }>();
  const { data, error, isFetching } = useQuery({
    queryKey: ["trace", device, wanted],
    queryFn: ({ signal }) => get<Trace>(`/api/v1/trace${query({ device, ...wanted })}`, signal),
    enabled: wanted !== undefined,
    staleTime: 0,
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const seq = String(form.get("seq"));
    const at = String(form.get("at"));
    if (seq !== "") setWanted({ seq });
    else if (at !== "") setWanted({ at: new Date(at).toISOString() });
  };
  return (
    <Panel title="Where is my message?">
      <form className="filters" onSubmit={submit}>
        <Field label="Sequence number" hint="the seq it carried">
          {(ids) => <input {...ids} name="seq" inputMode="numeric" pattern="\d{1,15}" placeholder="42" />}
        </Field>
        <Field label="or about when" hint="within 5 seconds">
          {(ids) => <input {...ids} name="at" type="datetime-local" step="1" />}
        </Field>
        <button type="submit" className="primary" disabled={isFetching}>
          Trace it
        </button>
      </form>
      {error && <Problem error={error} />}
      {isFetching && data === undefined && <Skeleton rows={3} />}
      {data && <TraceResult trace={data} />}
    </Panel>
  );
}

function TraceResult({ trace: { state, verdict, messages, readings, refusals } }: { trace: Trace }) {
  return (
    <div className="stack">
      <Notice tone={TONES[state]} title={verdict} />
      {messages.length > 0 && (
        <Table label="On the bus" columns={["Message", "Seq", "Came by", "Accepted", "In each group"]}>
          {messages.map(({ id, seq, source, acceptedAt, groups }) => (
            <tr key={id}>
              <td className="mono nowrap">{id}</td>
              <td>{seq ?? "–"}</td>
              <td>{source}</td>
              <td className="nowrap">{instant(acceptedAt)}</td>
              <td>
                {Object.entries(groups)
                  .map(([group, fate]) => `${group}: ${fate}`)
                  .join(", ")}
              </td>
            </tr>
          ))}
        </Table>
      )}
      {readings.length > 0 && (
        <Table label="Stored readings" columns={["Field", { name: "Value", num: true }, "Time"]}>
          {readings.map(({ field, value: said, timeUs }) => (
            <tr key={`${field} ${timeUs}`}>
              <td>{field}</td>
              <td className="num">{value(said)}</td>
              <td className="nowrap">{instant(timeUs / 1000)}</td>
            </tr>
          ))}
        </Table>
      )}
      {refusals.map(({ id, reason, detail }) => (
        <Notice key={id} tone="warn" title={`Refused: ${reason}`}>
          {detail} <Link to={`/streams?tab=quarantine&id=${id}`}>Look at it</Link>
        </Notice>
      ))}
    </div>
  );
}
