import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import { X } from "./icons.ts";
import { Problem } from "./notice.tsx";

/** A window over the page: Esc closes it, the focus stays within and returns to where it was. */
export function Dialog({
  title,
  onClose,
  children,
  wide,
}: {
  title: string;
  onClose: () => void;
  children: ReactNode;
  wide?: boolean;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    // by itself the focus would be on the button that closes it
    dialog?.querySelector<HTMLElement>("input, select, textarea")?.focus();
    return () => dialog?.close();
  }, []);
  return (
    <dialog ref={ref} className={wide ? "wide" : undefined} aria-labelledby={id} onClose={onClose}>
      <header>
        <h2 id={id}>{title}</h2>
        <button type="button" className="icon" onClick={onClose} aria-label="Close">
          <X size={18} aria-hidden />
        </button>
      </header>
      {children}
    </dialog>
  );
}

/** Asks before something is done that cannot be taken back; shows why where it does not work. */
export function Confirm({
  title,
  children,
  action,
  onConfirm,
  onClose,
  tone = "danger",
}: {
  title: string;
  children: ReactNode;
  action: string;
  onConfirm: () => Promise<unknown>;
  onClose: () => void;
  tone?: "danger" | "primary";
}) {
  const { busy, error, run } = useAction(onConfirm, onClose);
  return (
    <Dialog title={title} onClose={onClose}>
      <div className="stack">
        <div>{children}</div>
        {error !== undefined && <Problem error={error} />}
        <footer className="row end">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="button" className={tone} disabled={busy} onClick={() => void run()}>
            {busy ? "Working …" : action}
          </button>
        </footer>
      </div>
    </Dialog>
  );
}

/** Something that is done on request: whether it is under way, and how it failed. */
export function useAction<A extends unknown[], T>(
  work: (...args: A) => Promise<T>,
  onDone: (result: T) => void = () => {},
) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const run = async (...args: A) => {
    setBusy(true);
    setError(undefined);
    try {
      onDone(await work(...args));
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return { busy, error, run };
}
