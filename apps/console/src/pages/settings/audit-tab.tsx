import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { useDeferredValue, useState } from "react";
import { get, query } from "../../api/request.ts";
import type { AuditEvent } from "../../api/types/session.ts";
import { instant } from "../../format.ts";
import { Field } from "../../parts/field.tsx";
import { Empty, Problem, Skeleton, Tag } from "../../parts/notice.tsx";
import { Table } from "../../parts/page.tsx";
import { ShowMore } from "../../parts/show-more.tsx";

/** Who did what, from where. */
export function AuditTab() {
  const [event, setEvent] = useState("");
  const [entity, setEntity] = useState("");
  const wanted = useDeferredValue({ event: event.trim(), entity: entity.trim() });
  const list = useInfiniteQuery({
    queryKey: ["audit", wanted],
    queryFn: ({ pageParam, signal }) =>
      get<{ events: AuditEvent[]; next: string | null }>(
        `/api/v1/audit${query({ limit: 100, ...wanted, cursor: pageParam })}`,
        signal,
      ),
    initialPageParam: "",
    getNextPageParam: ({ next }) => next,
    placeholderData: keepPreviousData,
  });
  const events = list.data?.pages.flatMap((page) => page.events) ?? [];
  return (
    <>
      <div className="filters">
        <Field label="Event" hint="exactly, such as device.created">
          {(ids) => (
            <input {...ids} type="search" value={event} onChange={({ target }) => setEvent(target.value)} />
          )}
        </Field>
        <Field label="What it was done to" hint="an id or name, exactly">
          {(ids) => (
            <input {...ids} type="search" value={entity} onChange={({ target }) => setEntity(target.value)} />
          )}
        </Field>
      </div>
      {list.error && <Problem error={list.error} />}
      {list.isPending && <Skeleton rows={8} />}
      {list.data && events.length === 0 && <Empty title="Nothing of the kind has been done" />}
      {events.length > 0 && (
        <div className="panel">
          <Table label="Audit log" columns={["When", "Event", "What", "Who", "From", "More"]}>
            {events.map((one) => (
              <tr key={one.id}>
                <td className="nowrap">{instant(one.at)}</td>
                <td>{one.severity === "warning" ? <Tag tone="warn">{one.event}</Tag> : one.event}</td>
                <td>{[one.entityType, one.entityId].filter((part) => part !== null).join(" ")}</td>
                <td>{one.email ?? by(one.data) ?? "–"}</td>
                <td className="mono">{one.address ?? "–"}</td>
                <td className="wrap muted">{one.message ?? more(one.data)}</td>
              </tr>
            ))}
          </Table>
          <ShowMore list={list} />
        </div>
      )}
    </>
  );
}

const asObject = (data: unknown): Record<string, unknown> =>
  data !== null && typeof data === "object" ? (data as Record<string, unknown>) : {};

const by = (data: unknown): string | undefined => {
  const who = asObject(data).by;
  return typeof who === "string" ? who : undefined;
};

const MOST = 160;

function more(data: unknown): string {
  const { by: _, ...rest } = asObject(data);
  const text = Object.keys(rest).length === 0 ? "" : JSON.stringify(rest);
  return text.length > MOST ? `${text.slice(0, MOST)} …` : text;
}
