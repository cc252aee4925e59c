import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { get } from "../../api/request.ts";
import type { GroupLag, StreamLag } from "../../api/types/flow.ts";
import { count, span } from "../../format.ts";
import { Empty, Problem, Skeleton, Tag } from "../../parts/notice.tsx";
import { Panel, Table } from "../../parts/page.tsx";
import { PendingDialog } from "./pending-dialog.tsx";

const SILENT_MS = 12_000;
const COLUMNS = [
  "Group",
  { name: "Unread", num: true },
  { name: "Pending", num: true },
  { name: "Parked", num: true },
  { name: "Oldest pending", num: true },
  "Consumers",
  { name: "Actions", hidden: true },
];
const ABOUT: Record<string, string> = {
  telemetry: "readings on their way to the databases",
  rejected: "refusals on their way to quarantine",
  commands: "commands on their way to devices",
  outcomes: "news for devices that wait for 'stored'",
  can: "raw CAN frames",
};

/** Every stream with its groups and their consumers. */
export function GroupsTab() {
  const [opened, setOpened] = useState<{ stream: string; group: string }>();
  const { data, error, refetch } = useQuery({
    queryKey: ["streams"],
    queryFn: ({ signal }) => get<{ streams: StreamLag[] }>("/api/v1/streams", signal),
    refetchInterval: 2000,
  });
  const used = (data?.streams ?? []).filter(
    ({ groups, entries, accepted }) => groups.length > 0 || entries + accepted > 0,
  );
  return (
    <>
      {error && <Problem error={error} retry={() => void refetch()} />}
      {data === undefined && !error && <Skeleton rows={8} />}
      {data && used.length === 0 && (
        <Empty title="Nothing has passed yet">Streams come into being with the first message.</Empty>
      )}
      {used.map(({ stream, entries, accepted, groups }) => (
        <Panel
          key={stream}
          title={stream}
          actions={
            <span className="muted">
              {ABOUT[stream.split(":")[1]?.replace("raw", "can") ?? ""]} · {count(accepted)} accepted,{" "}
              {count(entries)} entries held
            </span>
          }
        >
          {groups.length === 0 ? (
            <p className="muted">No group reads it.</p>
          ) : (
            <Table label={`Groups of ${stream}`} columns={COLUMNS}>
              {groups.map((group) => (
                <Row
                  key={group.group}
                  group={group}
                  onOpen={() => setOpened({ stream, group: group.group })}
                />
              ))}
            </Table>
          )}
        </Panel>
      ))}
      {opened && <PendingDialog {...opened} onClose={() => setOpened(undefined)} />}
    </>
  );
}

function Row({ group, onOpen }: { group: GroupLag; onOpen: () => void }) {
  const waiting = group.unread + group.pending + group.parked;
  return (
    <tr>
      <td>
        <strong>{group.group}</strong>
      </td>
      <td className="num">{count(group.unread)}</td>
      <td className="num">{count(group.pending)}</td>
      <td className="num">{count(group.parked)}</td>
      <td className="num nowrap">{group.oldestPendingMs === null ? "–" : span(group.oldestPendingMs)}</td>
      <td>
        {group.consumers.length === 0 && <Tag tone={waiting > 0 ? "bad" : "plain"}>nobody now</Tag>}
        {group.consumers.map(({ name, pending, idleMs }) => (
          <div key={name} className="nowrap">
            <Tag tone={idleMs < SILENT_MS ? "ok" : "bad"}>
              {idleMs < SILENT_MS ? "reads" : `silent ${span(idleMs)}`}
            </Tag>{" "}
            <span className="mono">{name}</span>{" "}
            {pending > 0 && <span className="muted">holds {count(pending)}</span>}
          </div>
        ))}
      </td>
      <td className="num">
        <button type="button" className="small" onClick={onOpen} disabled={group.pendingEntries === 0}>
          Pending entries<span className="hidden"> of {group.group}</span>
        </button>
      </td>
    </tr>
  );
}
