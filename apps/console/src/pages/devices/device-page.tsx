import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { get } from "../../api/request.ts";
import type { DeviceDetail } from "../../api/types/device.ts";
import { ago, count, span } from "../../format.ts";
import { Facts } from "../../parts/facts.tsx";
import { Tabs } from "../../parts/field.tsx";
import { Problem, Skeleton } from "../../parts/notice.tsx";
import { Page } from "../../parts/page.tsx";
import { useNow } from "../../parts/use-now.ts";
import { CommandsTab } from "./commands-tab.tsx";
import { ConnectTab } from "./connect-tab.tsx";
import { DeviceSettings } from "./device-settings.tsx";
import { LiveTab } from "./live-tab.tsx";
import { isSkewed, Presence } from "./presence.tsx";
import { TraceTab } from "./trace-tab.tsx";

const TABS = [
  ["live", "Live"],
  ["connect", "Connect"],
  ["commands", "Commands"],
  ["trace", "Trace"],
  ["settings", "Settings"],
] as const;
type Tab = (typeof TABS)[number][0];

const isTab = (text: string): text is Tab => TABS.some(([id]) => id === text);

/** One device. */
export function DevicePage({ id }: { id: string }) {
  const wanted = location.hash.slice(1);
  const [tab, setTab] = useState<Tab>(isTab(wanted) ? wanted : "live");
  const path = `/api/v1/devices/${encodeURIComponent(id)}`;
  const { data, error, refetch } = useQuery({
    queryKey: ["device", id],
    queryFn: ({ signal }) => get<DeviceDetail>(path, signal),
    refetchInterval: 5000,
  });
  const choose = (next: Tab) => {
    setTab(next);
    history.replaceState(null, "", `#${next}`);
  };
  return (
    <Page
      title={id}
      lead={
        <>
          <Link to="/devices">Devices</Link>
          {data && ` · ${[data.name, data.type, data.location].filter((part) => part !== null).join(" · ")}`}
        </>
      }
      actions={data && <Presence device={data} />}
    >
      {error && <Problem error={error} retry={() => void refetch()} />}
      {data === undefined && !error && <Skeleton rows={8} />}
      {data && (
        <>
          <About device={data} />
          <div className="tab-row">
            <Tabs label="About this device" tabs={TABS} value={tab} onChange={choose} />
          </div>
          {tab === "live" && <LiveTab device={data} />}
          {tab === "connect" && <ConnectTab device={data} />}
          {tab === "commands" && <CommandsTab device={id} />}
          {tab === "trace" && <TraceTab device={id} />}
          {tab === "settings" && <DeviceSettings device={data} />}
        </>
      )}
    </Page>
  );
}

const CLOCKS: Record<string, string> = {
  device: "its own",
  age: "its own, as ages",
  none: "the server's: it gives no time",
  past: "the server's: its own is before 2020",
  future: "the server's: its own is ahead",
  unparsable: "the server's: its own cannot be read",
};

function About({ device }: { device: DeviceDetail }) {
  const now = useNow();
  const { gaps, clock, clockSkewMs } = device;
  const missing = gaps.reduce((sum, gap) => sum + gap.missing, 0);
  const skew = isSkewed(device) ? "warn-text" : "";
  return (
    <Facts
      panel
      facts={{
        "Last data": ago(device.lastDataReceived, now),
        "Last heartbeat": ago(device.lastHeartbeat, now),
        Readings: `${count(device.readings.length)} fields`,
        "Messages missing":
          missing > 0 ? (
            <span className="warn-text">
              {count(missing)} in {count(gaps.length)} gaps
            </span>
          ) : (
            "none known"
          ),
        "Time of its readings": clock === null ? "–" : (CLOCKS[clock] ?? clock),
        "Clock off by": clockSkewMs === null ? "–" : <span className={skew}>{span(clockSkewMs)}</span>,
      }}
    />
  );
}
