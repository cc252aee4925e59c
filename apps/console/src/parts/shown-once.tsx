import { Copyable } from "./field.tsx";
import { Notice } from "./notice.tsx";

/** A secret that is shown this once. */
export function ShownOnce({ label, text, onClose }: { label: string; text: string; onClose: () => void }) {
  return (
    <div className="stack">
      <Notice tone="warn" title="Shown this once">
        Take it now: nobody can see it again, only make another one.
      </Notice>
      <Copyable label={label} text={text} />
      <footer className="row end">
        <button type="button" className="primary" onClick={onClose}>
          Done
        </button>
      </footer>
    </div>
  );
}
