import type { ReactNode } from "react";
import { Link } from "wouter";
import type { Flow, GroupFlow } from "../../api/types/flow.ts";
import type { FlowRates } from "../../flow/flow-rates.ts";
import { count, rate, span } from "../../format.ts";
import { Cpu, Database, DoorOpen, type Icon, Layers, ShieldAlert, Workflow } from "../../parts/icons.ts";

type State = "up" | "stopped" | "absent" | "unknown";

const STORES: Record<string, { name: string; of: (flow: Flow) => State }> = {
  postgres: { name: "PostgreSQL", of: ({ stores }) => stores.postgres },
  influx: { name: "InfluxDB", of: ({ stores }) => stores.influx },
};

/** The path as a picture: what does not run is red, what flows moves. */
export function FlowPicture({ flow, rates }: { flow: Flow; rates: FlowRates }) {
  const { devices, refused } = flow;
  return (
    <section className="flow-picture" aria-label="The path of a message">
      <Hop icon={Cpu} name="Devices" state="up" to="/devices">
        {devices === null ? "–" : `${count(devices.online ?? 0)} online`}
        <small>
          {devices === null ? "not known" : `of ${count(Object.values(devices).reduce((a, b) => a + b, 0))}`}
        </small>
      </Hop>
      <Pipe perSecond={rates.accepted} />
      <div className="flow-entrance">
        <Hop icon={DoorOpen} name="ingest-gateway" state={flow.gateway.state}>
          {rate(rates.accepted)}
          <small>accepted</small>
        </Hop>
        <Link to="/streams?tab=quarantine" className="flow-refused">
          <ShieldAlert size={15} aria-hidden />
          {count(refused?.waiting)} in quarantine
        </Link>
      </div>
      <Pipe perSecond={rates.accepted} />
      <Hop icon={Layers} name="Bus" state={flow.bus.state} to="/streams" tall>
        {count(flow.bus.accepted)}
        <small>accepted</small>
      </Hop>
      <div className="flow-lanes">
        {flow.groups.length === 0 && <p className="muted">No group reads yet.</p>}
        {flow.groups.map((group) => (
          <Lane key={group.group} group={group} flow={flow} perSecond={rates.settled[group.group] ?? null} />
        ))}
      </div>
    </section>
  );
}

function Lane({ group, flow, perSecond }: { group: GroupFlow; flow: Flow; perSecond: number | null }) {
  const waiting = group.unread + group.parked;
  const store = STORES[group.group];
  return (
    <div className="flow-lane">
      <Pipe perSecond={perSecond} waiting={waiting} blocked={group.state === "stopped"} />
      <Hop icon={Workflow} name={group.service} state={group.state} to="/streams">
        <dl>
          <div>
            <dt>unread</dt>
            <dd>{count(waiting)}</dd>
          </div>
          <div>
            <dt>pending</dt>
            <dd>{count(group.pending)}</dd>
          </div>
          <div>
            <dt>oldest</dt>
            <dd>{group.oldestPendingMs === null ? "–" : span(group.oldestPendingMs)}</dd>
          </div>
        </dl>
      </Hop>
      <Pipe perSecond={perSecond} blocked={store !== undefined && store.of(flow) === "stopped"} />
      <Hop
        icon={Database}
        name={store?.name ?? "Alerts"}
        state={store?.of(flow) ?? "up"}
        {...(store ? {} : { to: "/alerts" })}
      >
        {count(group.stored)}
        <small>{store ? "stored" : "looked at"}</small>
      </Hop>
    </div>
  );
}

const SAID: Record<State, string> = {
  up: "runs",
  stopped: "stopped",
  absent: "not set up",
  unknown: "not known",
};

function Hop({
  icon: Icon,
  name,
  state,
  to,
  tall,
  children,
}: {
  icon: Icon;
  name: string;
  state: State;
  to?: string;
  tall?: boolean;
  children: ReactNode;
}) {
  const head = (
    <>
      <Icon size={16} aria-hidden />
      {name}
    </>
  );
  return (
    <div className={`hop ${state} ${tall ? "tall" : ""}`} data-hop={name} data-state={state}>
      <div className="hop-name">
        {to ? <Link to={to}>{head}</Link> : <span>{head}</span>}
        <em className={state === "up" ? "hidden" : ""}>{SAID[state]}</em>
      </div>
      <div className="hop-facts">{children}</div>
    </div>
  );
}

/** The faster it flows, the faster it moves; what waits before a hop is written on the pipe. */
function Pipe({
  perSecond,
  waiting = 0,
  blocked = false,
}: {
  perSecond: number | null;
  waiting?: number;
  blocked?: boolean;
}) {
  const moving = (perSecond ?? 0) > 0 && !blocked;
  const seconds = moving ? Math.max(0.35, 2.2 - 0.55 * Math.log10(1 + (perSecond ?? 0))) : 0;
  return (
    <div className={`pipe ${moving ? "moving" : ""} ${blocked ? "blocked" : ""}`}>
      <span className="pipe-rate">{rate(perSecond)}</span>
      <span
        className="pipe-water"
        style={moving ? { animationDuration: `${seconds.toFixed(2)}s` } : undefined}
      />
      {waiting > 0 && <span className="pipe-waiting">{count(waiting)} wait</span>}
    </div>
  );
}
