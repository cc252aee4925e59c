import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useSearchParams } from "wouter";
import { get, query } from "../../api/request.ts";
import type { Refusal } from "../../api/types/message.ts";
import { useMay } from "../../api/use-session.ts";
import { ago, count } from "../../format.ts";
import { Field } from "../../parts/field.tsx";
import { Empty, Problem, Skeleton, Tag, type Tone } from "../../parts/notice.tsx";
import { Table } from "../../parts/page.tsx";
import { ShowMore } from "../../parts/show-more.tsx";
import { useNow } from "../../parts/use-now.ts";
import { DiscardDialog, ReplayDialog } from "./quarantine-dialogs.tsx";
import { RefusalDialog } from "./refusal-dialog.tsx";

interface Answer {
  refusals: Refusal[];
  counts: { reason: string; count: number }[];
  next: string | null;
}

const STATES = ["open", "fixed", "replayed", "discarded"] as const;
const TONES: Record<Refusal["status"], Tone> = {
  open: "bad",
  fixed: "warn",
  replayed: "ok",
  discarded: "plain",
};
const COLUMNS = [
  { name: "Choose", hidden: true },
  "Refusal",
  "Reason",
  "Device",
  "What was wrong",
  "Came by",
  "When",
  "State",
];

/** What could not be stored, with its bytes: mend it, send it on, or put it aside. */
export function QuarantineTab() {
  const [params, setParams] = useSearchParams();
  const [reason, setReason] = useState("");
  const [device, setDevice] = useState("");
  const [status, setStatus] = useState("");
  const [chosen, setChosen] = useState<readonly number[]>([]);
  const [asking, setAsking] = useState<"replay" | "discard">();
  const mayChange = useMay("write");
  const now = useNow();
  const list = useInfiniteQuery({
    queryKey: ["quarantine", { reason, device, status }],
    queryFn: ({ pageParam, signal }) =>
      get<Answer>(
        `/api/v1/quarantine${query({ limit: 100, reason, device, status, cursor: pageParam })}`,
        signal,
      ),
    initialPageParam: "",
    getNextPageParam: ({ next }) => next,
    placeholderData: keepPreviousData,
    refetchInterval: 3000,
  });
  const refusals = list.data?.pages.flatMap((page) => page.refusals) ?? [];
  const counts = list.data?.pages[0]?.counts ?? [];
  const opened = Number(params.get("id")) || undefined;
  const open = (id: number | undefined) =>
    setParams(id === undefined ? { tab: "quarantine" } : { tab: "quarantine", id: String(id) });
  const waiting = refusals
    .filter((one) => one.status === "open" || one.status === "fixed")
    .map(({ id }) => id);
  const toggle = (id: number) =>
    setChosen(chosen.includes(id) ? chosen.filter((other) => other !== id) : [...chosen, id]);
  const filtered = reason !== "" || device !== "" || status !== "";
  return (
    <>
      <div className="filters">
        <Field label="Reason">
          {(ids) => (
            <select {...ids} value={reason} onChange={({ target }) => setReason(target.value)}>
              <option value="">any</option>
              {[...new Set([...counts.map((one) => one.reason), ...(reason === "" ? [] : [reason])])].map(
                (name) => (
                  <option key={name}>{name}</option>
                ),
              )}
            </select>
          )}
        </Field>
        <Field label="Device">
          {(ids) => (
            <input
              {...ids}
              type="search"
              placeholder="its whole id"
              value={device}
              onChange={({ target }) => setDevice(target.value)}
            />
          )}
        </Field>
        <Field label="State">
          {(ids) => (
            <select {...ids} value={status} onChange={({ target }) => setStatus(target.value)}>
              <option value="">waiting</option>
              {STATES.map((state) => (
                <option key={state}>{state}</option>
              ))}
            </select>
          )}
        </Field>
        {mayChange && (
          <div className="row">
            <button type="button" disabled={chosen.length === 0} onClick={() => setAsking("replay")}>
              Replay {chosen.length > 0 && count(chosen.length)} …
            </button>
            <button
              type="button"
              className="danger"
              disabled={chosen.length === 0}
              onClick={() => setAsking("discard")}
            >
              Discard …
            </button>
          </div>
        )}
      </div>
      {list.error && <Problem error={list.error} retry={() => void list.refetch()} />}
      {list.isPending && <Skeleton rows={8} />}
      {list.data && refusals.length === 0 && (
        <Empty title={filtered ? "Nothing is like that" : "Quarantine is empty"}>
          {filtered
            ? "Look for any reason, device or state."
            : "A message that cannot be stored is kept here with its bytes and the reason. It can be mended and sent on; nothing is thrown away unseen."}
        </Empty>
      )}
      {refusals.length > 0 && (
        <div className="panel">
          {counts.length > 1 && (
            <p className="muted">{counts.map((one) => `${count(one.count)} ${one.reason}`).join(" · ")}</p>
          )}
          <Table label="Quarantine" columns={COLUMNS}>
            {refusals.map((one) => (
              <tr key={one.id}>
                <td>
                  <input
                    type="checkbox"
                    checked={chosen.includes(one.id)}
                    disabled={!waiting.includes(one.id)}
                    onChange={() => toggle(one.id)}
                    aria-label={`Choose ${one.id}`}
                  />
                </td>
                <td>
                  <button type="button" className="link" onClick={() => open(one.id)}>
                    {one.id}
                    <span className="hidden">: look at it</span>
                  </button>
                </td>
                <td className="mono">{one.reason}</td>
                <td>{one.device ?? "–"}</td>
                <td className="wrap">{one.detail}</td>
                <td>{one.source}</td>
                <td className="nowrap">{ago(one.receivedAt, now)}</td>
                <td>
                  <Tag tone={TONES[one.status]}>{one.status}</Tag>
                </td>
              </tr>
            ))}
          </Table>
          <div className="row">
            {waiting.length > 0 && mayChange && (
              <button
                type="button"
                className="small"
                onClick={() => setChosen(chosen.length === waiting.length ? [] : waiting)}
              >
                {chosen.length === waiting.length ? "Choose none" : `Choose all ${waiting.length}`}
              </button>
            )}
            <ShowMore list={list} small />
          </div>
        </div>
      )}
      {opened !== undefined && <RefusalDialog key={opened} id={opened} onClose={() => open(undefined)} />}
      {asking === "replay" && (
        <ReplayDialog ids={chosen} onClose={() => setAsking(undefined)} onDone={() => setChosen([])} />
      )}
      {asking === "discard" && (
        <DiscardDialog ids={chosen} onClose={() => setAsking(undefined)} onDone={() => setChosen([])} />
      )}
    </>
  );
}
