import { useSyncExternalStore } from "react";

/** Light or dark; `auto` is what the system says. */
export type Theme = "auto" | "light" | "dark";

const KEY = "sluice-theme";
const listeners = new Set<() => void>();
const system = matchMedia("(prefers-color-scheme: dark)");
system.addEventListener("change", () => tell());

/** Shows the theme that was chosen. */
export function applyTheme(): void {
  document.documentElement.dataset.theme = shownTheme();
}

/** Chooses a theme, here and for the next time. */
export function chooseTheme(theme: Theme): void {
  localStorage.setItem(KEY, theme);
  tell();
}

function tell(): void {
  applyTheme();
  for (const listener of listeners) listener();
}

function chosenTheme(): Theme {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : "auto";
}

function shownTheme(): "light" | "dark" {
  const chosen = chosenTheme();
  if (chosen !== "auto") return chosen;
  return system.matches ? "dark" : "light";
}

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => void listeners.delete(listener);
};

/** The theme that is shown, for what draws with its own colours. */
export const useShownTheme = (): "light" | "dark" => useSyncExternalStore(subscribe, shownTheme);
