import type { ReactNode } from "react";

/** A few named facts side by side. */
export function Facts({
  facts,
  panel = false,
}: {
  facts: Readonly<Record<string, ReactNode>>;
  panel?: boolean;
}) {
  return (
    <dl className={panel ? "facts panel" : "facts"}>
      {Object.entries(facts).map(([name, fact]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{fact}</dd>
        </div>
      ))}
    </dl>
  );
}
