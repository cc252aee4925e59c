import { type ReactNode, useEffect } from "react";

/** The frame of a page: its name, which the document's title repeats, and what can be done on it. */
export function Page({
  title,
  lead,
  actions,
  children,
}: {
  title: string;
  lead?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}) {
  useEffect(() => {
    document.title = `${title} · Sluice`;
  }, [title]);
  return (
    <>
      <header className="page-head">
        <div>
          <h1>{title}</h1>
          {lead && <p className="muted">{lead}</p>}
        </div>
        {actions && <div className="row">{actions}</div>}
      </header>
      {children}
    </>
  );
}

/** A part of a page with a heading. */
export function Panel({
  title,
  actions,
  children,
  className = "",
}: {
  title: string;
  actions?: ReactNode;
  children: ReactNode;
  className?: string;
}) {
  return (
    <section className={`panel ${className}`} aria-label={title}>
      <header>
        <h2>{title}</h2>
        {actions && <div className="row">{actions}</div>}
      </header>
      {children}
    </section>
  );
}

/** A column: its name; `num` where it holds numbers, `hidden` where its name is only read out. */
export type Column = string | { name: string; num?: boolean; hidden?: boolean };

/**
 * A table that scrolls sideways where there is no room, by keyboard too. With `cards` a row is a card on a phone: for
 * lists whose buttons must not be out of sight.
 */
export function Table({
  label,
  columns,
  children,
  cards = false,
}: {
  label: string;
  columns: readonly Column[];
  children: ReactNode;
  cards?: boolean;
}) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <section className={cards ? "table cards" : "table"} aria-label={label} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {columns.map((column) => {
              const {
                name,
                num = false,
                hidden = false,
              } = typeof column === "string" ? { name: column } : column;
              return (
                <th key={name} scope="col" className={num ? "num" : undefined}>
                  {hidden ? <span className="hidden">{name}</span> : name}
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </section>
  );
}
