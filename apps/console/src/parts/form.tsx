import type { FormEvent } from "react";
import { ApiError } from "../api/request.ts";
import { useAction } from "./dialog.tsx";
import { Problem } from "./notice.tsx";

/** A form that is sent: what it does on submit, whether that is under way, how it failed, and which field is to blame. */
export function useForm<T>(work: (form: FormData) => Promise<T>, onDone?: (result: T) => void) {
  const { busy, error, run } = useAction(work, onDone);
  const wrong: Readonly<Record<string, string>> = error instanceof ApiError ? error.fields : {};
  const onSubmit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    void run(new FormData(event.currentTarget));
  };
  return { busy, error, wrong, onSubmit };
}

/** The end of a form in a window: what went wrong, and its two buttons. */
export function FormEnd({
  action,
  busy,
  error,
  onClose,
}: {
  action: string;
  busy: boolean;
  error: unknown;
  onClose: () => void;
}) {
  return (
    <>
      {error !== undefined && <Problem error={error} />}
      <footer className="row end">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button type="submit" className="primary" disabled={busy}>
          {action}
        </button>
      </footer>
    </>
  );
}
