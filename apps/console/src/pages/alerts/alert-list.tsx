import { keepPreviousData, useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { get, query, request } from "../../api/request.ts";
import type { Alert } from "../../api/types/alert.ts";
import { useMay } from "../../api/use-session.ts";
import { ago, instant, value } from "../../format.ts";
import { Confirm, useAction } from "../../parts/dialog.tsx";
import { Empty, Problem, Skeleton, Tag } from "../../parts/notice.tsx";
import { Table } from "../../parts/page.tsx";
import { ShowMore } from "../../parts/show-more.tsx";
import { useNow } from "../../parts/use-now.ts";
import { SeverityTag } from "./severity-tag.tsx";

type State = "active" | "acknowledged" | "history";

const EMPTY: Record<State, [string, string]> = {
  active: ["Nothing is wrong", "Alerts appear here when a rule finds something in new readings."],
  acknowledged: [
    "Nobody works on anything",
    "An alert that somebody has acknowledged stays here until it is over.",
  ],
  history: ["Nothing has been wrong yet", "Alerts that are over stay here."],
};
const COLUMNS = [
  "Severity",
  "What",
  "Where",
  { name: "Value", num: true },
  "Since",
  { name: "Actions", hidden: true },
];
const HOUR_MS = 3_600_000;

/** Alerts of one state, the newest first. */
export function AlertList({ state }: { state: State }) {
  const now = useNow();
  const mayAct = useMay("write");
  const [asking, setAsking] = useState<{ alert: Alert; verb: "resolve" | "dismiss" }>();
  const client = useQueryClient();
  const renew = () => client.invalidateQueries({ queryKey: ["alerts"] });
  const acknowledge = useAction(async (id: number) => {
    await request("POST", `/api/v1/alerts/${id}/acknowledge`, {});
    await renew();
  });
  const list = useInfiniteQuery({
    queryKey: ["alerts", state],
    queryFn: ({ pageParam, signal }) =>
      get<{ alerts: Alert[]; next: string | null }>(
        `/api/v1/alerts${query({ limit: 100, state, cursor: pageParam })}`,
        signal,
      ),
    initialPageParam: "",
    getNextPageParam: ({ next }) => next,
    placeholderData: keepPreviousData,
    refetchInterval: 3000,
  });
  const alerts = list.data?.pages.flatMap((page) => page.alerts) ?? [];
  const [title, text] = EMPTY[state];
  if (list.error) return <Problem error={list.error} retry={() => void list.refetch()} />;
  if (list.isPending) return <Skeleton rows={6} />;
  if (alerts.length === 0) {
    return (
      <Empty
        title={title}
        action={
          <Link to="/alerts?tab=rules" className="button">
            See the rules
          </Link>
        }
      >
        {text}
      </Empty>
    );
  }
  return (
    <div className="panel">
      {acknowledge.error !== undefined && <Problem error={acknowledge.error} />}
      <Table label="Alerts" columns={COLUMNS} cards>
        {alerts.map((alert) => (
          <tr key={alert.id}>
            <td>
              <SeverityTag severity={alert.severity} />
              {alert.preventive && <small className="muted"> before the limit</small>}
            </td>
            <td className="wrap">
              <strong>{alert.title}</strong>
              <br />
              <span className="muted">{alert.message}</span>
            </td>
            <td>
              <Place alert={alert} />
            </td>
            <td className="num nowrap">
              {value(alert.value)}
              {alert.threshold !== null && <small className="muted"> limit {value(alert.threshold)}</small>}
            </td>
            <td className="nowrap" title={instant(alert.triggeredAt)}>
              {ago(alert.triggeredAt, now)}
              <br />
              <small className="muted">{stateText(alert)}</small>
            </td>
            <td className="num">
              {mayAct && state !== "history" && (
                <span className="row end">
                  {state === "active" && (
                    <button
                      type="button"
                      className="small"
                      disabled={acknowledge.busy}
                      onClick={() => void acknowledge.run(alert.id)}
                    >
                      I look at it<span className="hidden">: {alert.title}</span>
                    </button>
                  )}
                  <button
                    type="button"
                    className="small"
                    onClick={() => setAsking({ alert, verb: "resolve" })}
                  >
                    Resolve …
                  </button>
                  <button
                    type="button"
                    className="small danger"
                    onClick={() => setAsking({ alert, verb: "dismiss" })}
                  >
                    Dismiss …
                  </button>
                </span>
              )}
              {state === "history" && (
                <Tag tone={alert.status === "resolved" ? "ok" : "plain"}>{alert.status}</Tag>
              )}
            </td>
          </tr>
        ))}
      </Table>
      <ShowMore list={list} />
      {asking && (
        <Confirm
          title={asking.verb === "resolve" ? "Resolve the alert" : "Dismiss the alert"}
          action={asking.verb === "resolve" ? "Resolve" : "Dismiss"}
          tone={asking.verb === "resolve" ? "primary" : "danger"}
          onClose={() => setAsking(undefined)}
          onConfirm={async () => {
            await request("POST", `/api/v1/alerts/${asking.alert.id}/${asking.verb}`, {});
            await renew();
          }}
        >
          <p>
            {asking.alert.title}.{" "}
            {asking.verb === "resolve"
              ? "It ends by itself too, once readings are well again."
              : "It was no real alert. It is raised again if the rule finds the same again."}
          </p>
        </Confirm>
      )}
    </div>
  );
}

/** Where it is, with the hours around it a step away. */
function Place({ alert: { device, sensor, triggeredAt } }: { alert: Alert }) {
  if (device === null) return "–";
  if (sensor === null) return <Link to={`/devices/${encodeURIComponent(device)}`}>{device}</Link>;
  const at = Date.parse(triggeredAt);
  const around = query({
    s: `${device}/${sensor}`,
    from: new Date(at - HOUR_MS).toISOString(),
    to: new Date(at + HOUR_MS).toISOString(),
  });
  return (
    <Link to={`/explore${around}`}>
      {device}/{sensor}
    </Link>
  );
}

function stateText({ status, acknowledgedBy, acknowledgedAt, resolvedAt, escalationLevel }: Alert): string {
  if (status === "resolved" || status === "dismissed") return `over ${ago(resolvedAt)}`;
  if (status === "acknowledged") return `seen by ${acknowledgedBy ?? "somebody"} ${ago(acknowledgedAt)}`;
  return escalationLevel > 0 ? `escalated ${escalationLevel} times` : "nobody has seen it";
}
