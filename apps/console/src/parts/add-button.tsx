import type { ReactNode } from "react";
import { Plus } from "./icons.ts";

/** Begins something new. */
export function AddButton({ onClick, children }: { onClick: () => void; children: ReactNode }) {
  return (
    <button type="button" className="primary" onClick={onClick}>
      <Plus size={16} aria-hidden />
      {children}
    </button>
  );
}
