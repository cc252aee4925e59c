import { type ReactNode, useEffect, useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import type { Session } from "./api/types/session.ts";
import { useLogin } from "./api/use-session.ts";
import { useFlow } from "./flow/use-flow.tsx";
import {
  Activity,
  Bell,
  CalendarClock,
  ChartSpline,
  Cpu,
  type Icon,
  Layers,
  LogOut,
  Moon,
  Search,
  Settings,
  Sun,
} from "./parts/icons.ts";
import { Logo } from "./parts/logo.tsx";
import { SearchDialog } from "./search-dialog.tsx";
import { chooseTheme, useShownTheme } from "./theme.ts";

/** The pages, in the order of the menu. */
export const PAGES: readonly { to: string; name: string; icon: Icon }[] = [
  { to: "/", name: "Flow", icon: Activity },
  { to: "/devices", name: "Devices", icon: Cpu },
  { to: "/explore", name: "Explore", icon: ChartSpline },
  { to: "/streams", name: "Streams", icon: Layers },
  { to: "/jobs", name: "Jobs", icon: CalendarClock },
  { to: "/alerts", name: "Alerts", icon: Bell },
  { to: "/settings", name: "Settings", icon: Settings },
];

/** What stands around every page: menu, search, theme, who is logged in. */
export function Shell({ session, children }: { session: Session; children: ReactNode }) {
  const [searching, setSearching] = useState(false);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const typing = (event.target as HTMLElement).closest(
        "input, textarea, select, [contenteditable], dialog",
      );
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      setSearching(true);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  return (
    <div className="shell">
      <a className="skip" href="#content">
        Skip to the page
      </a>
      <header className="topbar">
        <Link to="/" className="brand">
          <Logo />
          <span>Sluice</span>
        </Link>
        <button
          type="button"
          className="search-open"
          aria-label="Search devices, sensors, pages"
          onClick={() => setSearching(true)}
        >
          <Search size={16} aria-hidden />
          <span>Search devices, sensors, pages</span>
          <kbd>/</kbd>
        </button>
        <ThemeButton />
        <Account session={session} />
      </header>
      <Menu />
      <Content>{children}</Content>
      {searching && <SearchDialog onClose={() => setSearching(false)} />}
    </div>
  );
}

function Menu() {
  const [path] = useLocation();
  const { findings } = useFlow();
  const trouble = findings[0]?.severity;
  return (
    <nav className="menu" aria-label="Pages">
      <ul>
        {PAGES.map(({ to, name, icon: Icon }) => {
          const here = to === "/" ? path === "/" : path.startsWith(to);
          return (
            <li key={to}>
              <Link to={to} aria-current={here ? "page" : undefined}>
                <Icon size={18} aria-hidden />
                <span>{name}</span>
                {to === "/" && trouble && (
                  <span className={`badge ${trouble}`} title={findings[0]?.title}>
                    {findings.length}
                    <span className="hidden"> to look at</span>
                  </span>
                )}
              </Link>
            </li>
          );
        })}
      </ul>
    </nav>
  );
}

/** The page itself; going to another one moves the focus there, so that it is read out. */
function Content({ children }: { children: ReactNode }) {
  const [path] = useLocation();
  const ref = useRef<HTMLElement>(null);
  const before = useRef(path);
  useEffect(() => {
    if (before.current === path) return;
    before.current = path;
    scrollTo(0, 0);
    ref.current?.focus({ preventScroll: true });
  }, [path]);
  return (
    <main id="content" className="content" ref={ref} tabIndex={-1}>
      {children}
    </main>
  );
}

function ThemeButton() {
  const dark = useShownTheme() === "dark";
  return (
    <button
      type="button"
      className="icon"
      onClick={() => chooseTheme(dark ? "light" : "dark")}
      aria-label={dark ? "Switch to light" : "Switch to dark"}
    >
      {dark ? <Sun size={18} aria-hidden /> : <Moon size={18} aria-hidden />}
    </button>
  );
}

function Account({ session }: { session: Session }) {
  const { logout } = useLogin();
  const role = session.scopes.includes("admin")
    ? "admin"
    : session.scopes.includes("write")
      ? "operator"
      : "viewer";
  return (
    <div className="account">
      <span className="account-name">
        {session.email ?? session.kind}
        <small>{role}</small>
      </span>
      <button
        type="button"
        className="icon"
        onClick={() => void logout()}
        aria-label="Log out"
        title="Log out"
      >
        <LogOut size={18} aria-hidden />
      </button>
    </div>
  );
}
