import { Fragment, type ReactNode } from "react";
import { Problem, Skeleton } from "./notice.tsx";
import { type Column, Panel, Table } from "./page.tsx";

/** A panel with a table of what was asked for: grey bars until it is there, what went wrong, or why there is nothing. */
export function Listing<T>({
  title,
  actions,
  result: { items, error, refetch },
  columns,
  keyOf,
  empty,
  children,
  cards = true,
}: {
  title: string;
  actions?: ReactNode;
  result: { items: readonly T[] | undefined; error: unknown; refetch: () => unknown };
  columns: readonly Column[];
  keyOf: (item: T) => string | number;
  /** Shown where there is none. */
  empty: ReactNode;
  /** One row. */
  children: (item: T) => ReactNode;
  /** Not where numbers are compared: see {@link Table}. */
  cards?: boolean;
}) {
  return (
    <Panel title={title} actions={items && items.length > 0 && actions}>
      {error != null && <Problem error={error} retry={() => void refetch()} />}
      {items === undefined && error == null && <Skeleton />}
      {items?.length === 0 && empty}
      {items !== undefined && items.length > 0 && (
        <Table label={title} columns={columns} cards={cards}>
          {items.map((item) => (
            <Fragment key={keyOf(item)}>{children(item)}</Fragment>
          ))}
        </Table>
      )}
    </Panel>
  );
}
