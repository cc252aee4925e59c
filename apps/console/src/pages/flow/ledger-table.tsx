import type { Flow } from "../../api/types.ts";
import { count } from "../../format.ts";
import { Tag } from "../../parts/notice.tsx";
import { Table } from "../../parts/page.tsx";

/** accepted = stored + duplicate + quarantined + pending + unread + parked, for each group. */
export function LedgerTable({ flow }: { flow: Flow }) {
  if (flow.groups.length === 0)
    return <p className="muted">No group reads yet: the balance begins with the first.</p>;
  const columns = ["stored", "duplicate", "quarantined", "pending", "unread", "parked"] as const;
  return (
    <Table
      label="Ledger"
      columns={[
        "Group",
        ...["accepted =", "stored", "+ duplicate", "+ quarantined", "+ pending", "+ unread", "+ parked"].map(
          (name) => ({ name, num: true }),
        ),
        "Balance",
      ]}
    >
      {flow.groups.map((group) => (
        <tr key={group.group}>
          <td>{group.group}</td>
          <td className="num">{count(columns.reduce((sum, name) => sum + group[name], 0) + group.lost)}</td>
          {columns.map((name) => (
            <td key={name} className="num">
              {count(group[name])}
            </td>
          ))}
          <td>
            {group.balanced ? <Tag tone="ok">balanced</Tag> : <Tag tone="bad">{count(group.lost)} lost</Tag>}
          </td>
        </tr>
      ))}
    </Table>
  );
}
