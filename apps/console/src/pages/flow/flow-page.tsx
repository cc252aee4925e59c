import { useState } from "react";
import { Link } from "wouter";
import type { Flow } from "../../api/types/flow.ts";
import { type FlowView, useFlow } from "../../flow/use-flow.tsx";
import { ago, bytes, count, instant } from "../../format.ts";
import { Facts } from "../../parts/facts.tsx";
import { Notice, Skeleton } from "../../parts/notice.tsx";
import { Page, Panel } from "../../parts/page.tsx";
import { FlowPicture } from "./flow-picture.tsx";
import { LedgerTable } from "./ledger-table.tsx";
import { RateChart } from "./rate-chart.tsx";

/** The path of all messages, living: what runs, how fast, what waits and what is wrong. */
export function FlowPage() {
  const view = useFlow();
  const now = view.looks.at(-1);
  return (
    <Page title="Flow" lead="From the device to the databases, as it is this second.">
      {now === undefined ? (
        <Skeleton rows={8} />
      ) : (
        <>
          <Verdict view={view} now={now} />
          <FlowPicture flow={now} rates={view.rates} />
          <div className="flow-below">
            <Panel title="Messages per second, last five minutes">
              <RateChart looks={view.looks} />
            </Panel>
            <Panel title="Ledger">
              <LedgerTable flow={now} />
            </Panel>
            <Panel title="Last refused">
              <LastRefused flow={now} />
            </Panel>
            <Panel title="Jobs and rollups">
              <Background flow={now} />
            </Panel>
          </div>
        </>
      )}
    </Page>
  );
}

/** One sentence that says whether anybody has to do anything. */
function Verdict({ view: { findings, live }, now }: { view: FlowView; now: Flow }) {
  const [opened] = useState(Date.now);
  return (
    <div className="verdict" role="status">
      {!live && Date.now() - opened > 3000 && (
        <Notice tone="warn" title="No news from the api">
          What you see is of {instant(now.at)}. It connects again by itself.
        </Notice>
      )}
      {findings.length === 0 ? (
        <Notice
          tone="ok"
          title={now.bus.accepted === 0 ? "Everything runs; no message has come yet" : "Everything flows"}
        >
          {now.bus.accepted === 0 ? (
            <Link to="/devices/new">Connect your first device</Link>
          ) : (
            `${count(now.bus.accepted)} messages accepted, each accounted for.`
          )}
        </Notice>
      ) : (
        findings.map(({ severity, title, advice, to }) => (
          <Notice key={title} tone={severity} title={title}>
            {advice} {to && <Link to={to}>Look</Link>}
          </Notice>
        ))
      )}
    </div>
  );
}

function LastRefused({ flow: { refused } }: { flow: Flow }) {
  if (refused === null) return <p className="muted">Not known while PostgreSQL does not answer.</p>;
  if (refused.last === null)
    return (
      <p className="muted">
        Nothing waits in quarantine. What is refused is kept there with its bytes and the reason.
      </p>
    );
  const { id, reason, detail, device, at } = refused.last;
  return (
    <div className="stack">
      <p>
        <strong className="mono">{reason}</strong> from {device ?? "an unknown sender"}, {ago(at)}
        <br />
        <span className="muted">{detail}</span>
      </p>
      <p>
        <Link to={`/streams?tab=quarantine&id=${id}`}>Fix and replay it</Link>
        {refused.waiting > 1 && <span className="muted"> · {count(refused.waiting)} wait in all</span>}
      </p>
    </div>
  );
}

function Background({ flow: { scheduler, bus } }: { flow: Flow }) {
  const run = scheduler?.lastRun;
  return (
    <Facts
      facts={{
        Scheduler: scheduler === null ? "not known" : scheduler.state === "up" ? "runs" : "stopped",
        "Rolled up to": scheduler?.rolledUpTo ? instant(scheduler.rolledUpTo) : "nothing yet",
        "Late data to repair": `${count(scheduler?.dirty)} buckets`,
        "Last run": run ? (
          <Link to="/jobs">
            {run.job}, {run.status}, {ago(run.at)}
          </Link>
        ) : (
          "none yet"
        ),
        "Memory of the bus":
          bus.maxBytes === null ? bytes(bus.usedBytes) : `${bytes(bus.usedBytes)} of ${bytes(bus.maxBytes)}`,
      }}
    />
  );
}
