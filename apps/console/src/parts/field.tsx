import { type ReactNode, useId, useRef, useState } from "react";
import { Check, Copy } from "./icons.ts";

/** A labelled input; `children` gets the ids it has to carry. */
export function Field({
  label,
  hint,
  error,
  children,
}: {
  label: string;
  hint?: ReactNode;
  error?: string | undefined;
  children: (ids: { id: string; "aria-describedby"?: string; "aria-invalid"?: true }) => ReactNode;
}) {
  const id = useId();
  const said = error ?? hint;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children({
        id,
        ...(said ? { "aria-describedby": `${id}-said` } : {}),
        ...(error ? { "aria-invalid": true as const } : {}),
      })}
      {said && (
        <small id={`${id}-said`} className={error ? "bad-text" : "muted"}>
          {said}
        </small>
      )}
    </div>
  );
}

/** Text to take away, as it is. */
export function Copyable({ label, text }: { label: string; text: string }) {
  const [copied, setCopied] = useState(false);
  const ref = useRef<HTMLPreElement>(null);
  const copy = async () => {
    // without TLS and not on localhost a browser has no clipboard for us: then it is selected, ready for Ctrl-C
    if (navigator.clipboard === undefined) {
      if (ref.current) getSelection()?.selectAllChildren(ref.current);
      return;
    }
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return (
    <div className="copyable">
      <div className="copyable-head">
        <span className="muted">{label}</span>
        <button type="button" className="small" onClick={() => void copy()} aria-label={`Copy ${label}`}>
          {copied ? <Check size={14} aria-hidden /> : <Copy size={14} aria-hidden />}
          {copied ? "Copied" : "Copy"}
        </button>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <pre ref={ref} tabIndex={0}>
        {text}
      </pre>
    </div>
  );
}

/** A few ways to look at one thing. */
export function Tabs<T extends string>({
  label,
  tabs,
  value,
  onChange,
}: {
  label: string;
  tabs: readonly (readonly [T, string])[];
  value: T;
  onChange: (value: T) => void;
}) {
  return (
    <fieldset className="tabs" aria-label={label}>
      {tabs.map(([id, name]) => (
        <button key={id} type="button" aria-pressed={id === value} onClick={() => onChange(id)}>
          {name}
        </button>
      ))}
    </fieldset>
  );
}
