import { useSearchParams } from "wouter";
import { useMay, useSession } from "../../api/use-session.ts";
import { Tabs } from "../../parts/field.tsx";
import { Notice } from "../../parts/notice.tsx";
import { Page } from "../../parts/page.tsx";
import { AuditTab } from "./audit-tab.tsx";
import { KeysTab } from "./keys-tab.tsx";
import { PasswordTab } from "./password-tab.tsx";
import { RetentionTab } from "./retention-tab.tsx";
import { UsersTab } from "./users-tab.tsx";

const TABS = [
  ["users", "People and roles"],
  ["keys", "API keys"],
  ["retention", "Retention"],
  ["audit", "Audit log"],
  ["password", "My password"],
] as const;
type Tab = (typeof TABS)[number][0];
const FOR_ALL: ReadonlySet<Tab> = new Set(["retention", "password"]);

/** Who may do what, what is kept how long, and who did what. */
export function SettingsPage() {
  const [params, setParams] = useSearchParams();
  const admin = useMay("admin");
  const { session } = useSession();
  const tab = TABS.find(([id]) => id === params.get("tab"))?.[0] ?? (admin ? "users" : "password");
  return (
    <Page title="Settings" lead={`You are ${session?.email ?? "logged in with a key"}.`}>
      <div className="tab-row">
        <Tabs label="Settings" tabs={TABS} value={tab} onChange={(next) => setParams({ tab: next })} />
      </div>
      {!admin && !FOR_ALL.has(tab) ? (
        <Notice tone="plain" title="Only admins see this">
          Somebody with the role admin can give you that role, or do it for you.
        </Notice>
      ) : (
        <>
          {tab === "users" && <UsersTab />}
          {tab === "keys" && <KeysTab />}
          {tab === "retention" && <RetentionTab />}
          {tab === "audit" && <AuditTab />}
          {tab === "password" && <PasswordTab />}
        </>
      )}
    </Page>
  );
}
