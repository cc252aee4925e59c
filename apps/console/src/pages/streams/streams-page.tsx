import { useSearchParams } from "wouter";
import { Tabs } from "../../parts/field.tsx";
import { Page } from "../../parts/page.tsx";
import { GroupsTab } from "./groups-tab.tsx";
import { QuarantineTab } from "./quarantine-tab.tsx";

const TABS = [
  ["groups", "Streams and groups"],
  ["quarantine", "Quarantine"],
] as const;

/** The bus: who reads what, what is in hand, and what could not be stored. */
export function StreamsPage() {
  const [params, setParams] = useSearchParams();
  const tab = params.get("tab") === "quarantine" ? "quarantine" : "groups";
  return (
    <Page title="Streams" lead="Who reads what, what waits, and what could not be stored.">
      <div className="tab-row">
        <Tabs label="Part of the bus" tabs={TABS} value={tab} onChange={(next) => setParams({ tab: next })} />
      </div>
      {tab === "groups" ? <GroupsTab /> : <QuarantineTab />}
    </Page>
  );
}
