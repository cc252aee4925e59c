import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { get, request } from "../../api/request.ts";
import type { PendingEntry } from "../../api/types/flow.ts";
import { useMay } from "../../api/use-session.ts";
import { count, span } from "../../format.ts";
import { Dialog, useAction } from "../../parts/dialog.tsx";
import { Notice, Problem, Skeleton } from "../../parts/notice.tsx";
import { Table } from "../../parts/page.tsx";

const COLUMNS = [
  { name: "Choose", hidden: true },
  "Entry",
  "In the hands of",
  { name: "Messages", num: true },
  { name: "Age", num: true },
  { name: "Untouched for", num: true },
  { name: "Attempts", num: true },
];

/** What the consumers of a group have in hand; an entry can be taken away, so that another reads it at once. */
export function PendingDialog({
  stream,
  group,
  onClose,
}: {
  stream: string;
  group: string;
  onClose: () => void;
}) {
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const client = useQueryClient();
  const mayClaim = useMay("write");
  const path = `/api/v1/streams/${encodeURIComponent(stream)}/groups/${encodeURIComponent(group)}`;
  const key = ["pending", stream, group];
  const { data, error } = useQuery({
    queryKey: key,
    queryFn: ({ signal }) =>
      get<{ entries: PendingEntry[]; next: string | null }>(`${path}/pending?limit=100`, signal),
    refetchInterval: 2000,
  });
  const claim = useAction(async () => {
    await request("POST", `${path}/claim`, { ids: chosen });
    setChosen([]);
    await client.invalidateQueries({ queryKey: key });
  });
  const toggle = (id: string) =>
    setChosen(chosen.includes(id) ? chosen.filter((other) => other !== id) : [...chosen, id]);
  return (
    <Dialog title={`Pending for ${group}`} onClose={onClose} wide>
      <div className="stack">
        {error && <Problem error={error} />}
        {data === undefined && !error && <Skeleton />}
        {data?.entries.length === 0 && (
          <Notice tone="ok" title="Nothing is pending">
            All that was delivered is settled.
          </Notice>
        )}
        {data && data.entries.length > 0 && (
          <>
            <Table label="Pending entries" columns={COLUMNS}>
              {data.entries.map(({ id, consumer, messages, ageMs, idleMs, attempts }) => (
                <tr key={id}>
                  <td>
                    <input
                      type="checkbox"
                      checked={chosen.includes(id)}
                      onChange={() => toggle(id)}
                      aria-label={`Choose ${id}`}
                    />
                  </td>
                  <td className="mono nowrap">{id}</td>
                  <td className="mono">{consumer}</td>
                  <td className="num">{count(messages)}</td>
                  <td className="num nowrap">{span(ageMs)}</td>
                  <td className="num nowrap">{span(idleMs)}</td>
                  <td className="num">
                    {attempts > 2 ? <span className="warn-text">{attempts}</span> : attempts}
                  </td>
                </tr>
              ))}
            </Table>
            {data.next !== null && <p className="muted">The oldest 100 are shown.</p>}
            <p className="muted">
              An entry whose consumer is gone is taken over by itself after a while. Claiming does it at once;
              if its consumer was still at it, it is stored once all the same.
            </p>
          </>
        )}
        {claim.error !== undefined && <Problem error={claim.error} />}
        <footer className="row end">
          <button type="button" onClick={onClose}>
            Close
          </button>
          <button
            type="button"
            className="primary"
            disabled={!mayClaim || chosen.length === 0 || claim.busy}
            onClick={() => void claim.run()}
          >
            Claim for another consumer
          </button>
        </footer>
      </div>
    </Dialog>
  );
}
