import { useSearchParams } from "wouter";
import { Tabs } from "../../parts/field.tsx";
import { Page } from "../../parts/page.tsx";
import { AlertList } from "./alert-list.tsx";
import { ChannelsTab } from "./channels-tab.tsx";
import { LimitsTab } from "./limits-tab.tsx";
import { RulesTab } from "./rules-tab.tsx";

const TABS = [
  ["active", "Active"],
  ["acknowledged", "Acknowledged"],
  ["history", "History"],
  ["rules", "Rules"],
  ["channels", "Who is told"],
  ["limits", "Doubtful readings"],
] as const;

/** What is wrong out there, and the rules that say so. */
export function AlertsPage() {
  const [params, setParams] = useSearchParams();
  const tab = TABS.find(([id]) => id === params.get("tab"))?.[0] ?? "active";
  return (
    <Page title="Alerts" lead="What readings say is wrong, who has seen it, and the rules behind it.">
      <div className="tab-row">
        <Tabs label="Alerts" tabs={TABS} value={tab} onChange={(next) => setParams({ tab: next })} />
      </div>
      {tab === "rules" ? (
        <RulesTab />
      ) : tab === "channels" ? (
        <ChannelsTab />
      ) : tab === "limits" ? (
        <LimitsTab />
      ) : (
        <AlertList key={tab} state={tab} />
      )}
    </Page>
  );
}
