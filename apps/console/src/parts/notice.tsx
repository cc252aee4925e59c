import type { ReactNode } from "react";
import { ApiError } from "../api/request.ts";
import { CircleAlert, CircleCheck, Info, TriangleAlert } from "./icons.ts";

export type Tone = "ok" | "warn" | "bad" | "plain";

const ICONS = { ok: CircleCheck, warn: TriangleAlert, bad: CircleAlert, plain: Info };

/** A line that says how something is, with a mark that does not rely on colour. */
export function Notice({ tone, title, children }: { tone: Tone; title: ReactNode; children?: ReactNode }) {
  const Mark = ICONS[tone];
  return (
    <div className={`notice ${tone}`}>
      <Mark size={18} aria-hidden />
      <div>
        <strong>{title}</strong>
        {children && <div className="notice-text">{children}</div>}
      </div>
    </div>
  );
}

/** What went wrong and what can be done. */
export function Problem({ error, retry }: { error: unknown; retry?: () => void }) {
  const failure = error instanceof Error ? error : new Error(String(error));
  const status = failure instanceof ApiError ? failure.status : undefined;
  return (
    <div role="alert">
      <Notice tone="bad" title={status === 403 ? "Your role may not do this" : failure.message}>
        {status === 403 && "An admin can give you another role under Settings."}
        {retry && (
          <button type="button" className="link" onClick={retry}>
            Try again
          </button>
        )}
      </Notice>
    </div>
  );
}

/** Nothing here yet, why, and what to do. */
export function Empty({
  title,
  children,
  action,
}: {
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}) {
  return (
    <div className="empty">
      <h3>{title}</h3>
      {children && <div className="muted">{children}</div>}
      {action}
    </div>
  );
}

/** Grey bars while something is fetched. */
export function Skeleton({ rows = 4 }: { rows?: number }) {
  return (
    <div className="skeleton" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, row) => `bar ${row}`).map((bar) => (
        <span key={bar} />
      ))}
    </div>
  );
}

/** A word with its colour and a dot. */
export function Tag({ tone, children }: { tone: Tone; children: ReactNode }) {
  return (
    <span className={`tag ${tone}`}>
      <span className="dot" aria-hidden />
      {children}
    </span>
  );
}
