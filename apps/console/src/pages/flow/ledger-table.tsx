import type { Flow, GroupFlow } from "../../api/types/flow.ts";
import { count } from "../../format.ts";
import { Tag } from "../../parts/notice.tsx";
import { Table } from "../../parts/page.tsx";

const TERMS: readonly [string, (group: GroupFlow) => number][] = [
  ["stored", ({ stored }) => stored],
  ["+ duplicate", ({ duplicate }) => duplicate],
  ["+ quarantined", ({ quarantined }) => quarantined],
  ["+ pending", ({ pending }) => pending],
  ["+ unread", ({ unread }) => unread],
  ["+ parked", ({ parked }) => parked],
];

/** An account for each group: what was accepted, and what has become of it. */
export function LedgerTable({ flow: { groups } }: { flow: Flow }) {
  if (groups.length === 0)
    return <p className="muted">No group reads yet: the balance begins with the first.</p>;
  const row = (name: string, of: (group: GroupFlow) => number) => (
    <tr key={name}>
      <th scope="row">{name}</th>
      {groups.map((group) => (
        <td key={group.group} className="num">
          {count(of(group))}
        </td>
      ))}
    </tr>
  );
  return (
    <Table label="Ledger" columns={["Messages", ...groups.map(({ group }) => ({ name: group, num: true }))]}>
      {TERMS.map(([name, of]) => row(name, of))}
      <tr className="sum">
        <th scope="row">= accepted</th>
        {groups.map((group) => (
          <td key={group.group} className="num">
            {count(TERMS.reduce((sum, [, of]) => sum + of(group), 0) + group.lost)}
          </td>
        ))}
      </tr>
      <tr>
        <th scope="row">Balance</th>
        {groups.map(({ group, balanced, lost }) => (
          <td key={group} className="num">
            {balanced && lost === 0 ? (
              <Tag tone="ok">balanced</Tag>
            ) : (
              <Tag tone="bad">{count(lost)} lost</Tag>
            )}
          </td>
        ))}
      </tr>
    </Table>
  );
}
