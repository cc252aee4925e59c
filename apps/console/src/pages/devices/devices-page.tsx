import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { type ReactNode, useDeferredValue, useState } from "react";
import { Link, useSearchParams } from "wouter";
import { get, query } from "../../api/request.ts";
import type { Device, DeviceOverview } from "../../api/types/device.ts";
import { useMay } from "../../api/use-session.ts";
import { ago, count, span } from "../../format.ts";
import { Field, Tabs } from "../../parts/field.tsx";
import { Plus } from "../../parts/icons.ts";
import { Empty, Problem, Skeleton } from "../../parts/notice.tsx";
import { Page, Table } from "../../parts/page.tsx";
import { ShowMore } from "../../parts/show-more.tsx";
import { useNow } from "../../parts/use-now.ts";
import { FleetGroups } from "./fleet-groups.tsx";
import { isSkewed, Presence } from "./presence.tsx";

const STATES: readonly Device["status"][] = ["online", "offline", "maintenance", "error"];
const COLUMNS = [
  "Device",
  "Presence",
  "Last data",
  { name: "Readings/min", num: true },
  { name: "Sensors", num: true },
  { name: "Missing", num: true },
  { name: "Clock off by", num: true },
  "Where",
];

const TABS = [
  ["list", "All devices"],
  ["groups", "Groups"],
] as const;

/** Devices and their groups. */
export function DevicesPage() {
  const [params, setParams] = useSearchParams();
  const tab = TABS.find(([id]) => id === params.get("tab"))?.[0] ?? "list";
  const add = useMay("admin") && (
    <Link to="/devices/new" className="button primary">
      <Plus size={16} aria-hidden />
      Add a device
    </Link>
  );
  return (
    <Page title="Devices" lead="Who sends, when last, and what is missing." actions={add}>
      <div className="tab-row">
        <Tabs label="Devices" tabs={TABS} value={tab} onChange={(next) => setParams({ tab: next })} />
      </div>
      {tab === "list" ? <DeviceList add={add} /> : <FleetGroups />}
    </Page>
  );
}

/** All devices and how they do. */
function DeviceList({ add }: { add: ReactNode }) {
  const [text, setText] = useState("");
  const [status, setStatus] = useState("");
  const search = useDeferredValue(text.trim());
  const now = useNow();
  const list = useInfiniteQuery({
    queryKey: ["devices", { search, status }],
    queryFn: ({ pageParam, signal }) =>
      get<{ devices: DeviceOverview[]; next: string | null }>(
        `/api/v1/devices${query({ limit: 100, search, status, cursor: pageParam })}`,
        signal,
      ),
    initialPageParam: "",
    getNextPageParam: ({ next }) => next,
    placeholderData: keepPreviousData,
    refetchInterval: 5000,
  });
  const devices = list.data?.pages.flatMap((page) => page.devices) ?? [];
  const filtered = search !== "" || status !== "";
  return (
    <>
      <div className="filters">
        <Field label="Find">
          {(ids) => (
            <input
              {...ids}
              type="search"
              placeholder="id, name or place"
              value={text}
              onChange={(event) => setText(event.target.value)}
            />
          )}
        </Field>
        <Field label="Presence">
          {(ids) => (
            <select {...ids} value={status} onChange={(event) => setStatus(event.target.value)}>
              <option value="">any</option>
              {STATES.map((state) => (
                <option key={state}>{state}</option>
              ))}
            </select>
          )}
        </Field>
      </div>
      {list.error && <Problem error={list.error} retry={() => void list.refetch()} />}
      {list.isPending && <Skeleton rows={8} />}
      {list.data && devices.length === 0 && (
        <Empty
          title={filtered ? "No device is like that" : "No devices yet"}
          action={filtered ? undefined : add}
        >
          {filtered
            ? "Try a shorter part of its id, or any presence."
            : "A device is anything that sends readings over MQTT or HTTP. Adding one gives it a credential and a line to try it with."}
        </Empty>
      )}
      {devices.length > 0 && (
        <div className="panel">
          <Table label="Devices" columns={COLUMNS}>
            {devices.map((device) => (
              <Row key={device.id} device={device} now={now} />
            ))}
          </Table>
          <ShowMore list={list} />
        </div>
      )}
    </>
  );
}

function Row({ device, now }: { device: DeviceOverview; now: number }) {
  const { id, name, type, lastDataReceived, sensors, missing, gaps, clockSkewMs, location } = device;
  return (
    <tr>
      <td>
        <Link to={`/devices/${encodeURIComponent(id)}`}>
          <strong>{id}</strong>
        </Link>
        <br />
        <small className="muted">{name ?? type}</small>
      </td>
      <td>
        <Presence device={device} />
      </td>
      <td className="nowrap">{ago(lastDataReceived, now)}</td>
      <td className="num">{count(device.readingsPerMinute)}</td>
      <td className="num">{count(sensors)}</td>
      <td className="num" title={gaps > 0 ? `in ${count(gaps)} gaps of its sequence numbers` : undefined}>
        {missing > 0 ? <span className="warn-text">{count(missing)}</span> : "0"}
      </td>
      <td className="num nowrap">
        {clockSkewMs === null ? (
          "–"
        ) : (
          <span className={isSkewed(device) ? "warn-text" : ""}>{span(clockSkewMs)}</span>
        )}
      </td>
      <td>{location ?? <span className="muted">–</span>}</td>
    </tr>
  );
}
