import type { RowChange } from "../../api/types/job.ts";
import { count, value } from "../../format.ts";
import { Tag, type Tone } from "../../parts/notice.tsx";
import { Table } from "../../parts/page.tsx";

const SHOWN = 100;
const KINDS = {
  insert: ["new", "ok"],
  update: ["changed", "warn"],
  remove: ["taken away", "bad"],
} as const satisfies Record<string, readonly [string, Tone]>;

const kindOf = ({ old, new: now }: RowChange): keyof typeof KINDS =>
  old === null ? "insert" : now === null ? "remove" : "update";

/** Rows as they are and as they would be: only what differs. */
export function ChangesTable({ changes, total }: { changes: readonly RowChange[]; total: number }) {
  const tables = [...new Set(changes.map(({ table }) => table))];
  return (
    <>
      <ul className="list">
        {tables.map((table) => {
          const of = changes.filter((change) => change.table === table);
          const parts = (Object.keys(KINDS) as (keyof typeof KINDS)[]).flatMap((kind) => {
            const rows = of.filter((change) => kindOf(change) === kind).length;
            return rows === 0 ? [] : [`${count(rows)} ${KINDS[kind][0]}`];
          });
          return (
            <li key={table}>
              <span className="mono">{table}</span>: {parts.join(", ")}
            </li>
          );
        })}
      </ul>
      <div className="changes">
        <Table label="What would change" columns={["Kind", "Row", "Values"]}>
          {changes.slice(0, SHOWN).map((change) => (
            <tr key={`${change.table} ${JSON.stringify(change.key)}`}>
              <td>
                <Tag tone={KINDS[kindOf(change)][1]}>{KINDS[kindOf(change)][0]}</Tag>
              </td>
              <td>
                <small className="muted mono">{change.table}</small>
                <br />
                {Object.entries(change.key)
                  .map(([name, part]) => `${name} ${shown(part)}`)
                  .join(", ")}
              </td>
              <td className="wrap">
                <Values change={change} />
              </td>
            </tr>
          ))}
        </Table>
      </div>
      {total > SHOWN && (
        <p className="muted">
          The first {SHOWN} of {count(total)} are shown; all of them are applied.
        </p>
      )}
    </>
  );
}

function Values({ change: { old, new: now } }: { change: RowChange }) {
  const names = Object.keys(now ?? old ?? {}).filter(
    (name) => old === null || now === null || String(old[name]) !== String(now[name]),
  );
  return names.map((name) => (
    <span key={name} className="delta">
      {name} {old !== null && <del>{shown(old[name])}</del>} {now !== null && <ins>{shown(now[name])}</ins>}
    </span>
  ));
}

const shown = (part: unknown): string =>
  typeof part === "number" || typeof part === "string"
    ? value(part)
    : part === null
      ? "–"
      : JSON.stringify(part);
