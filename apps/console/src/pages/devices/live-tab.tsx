import { useState } from "react";
import { Link } from "wouter";
import type { DeviceDetail, Reading } from "../../api/types/device.ts";
import { useReadings } from "../../api/use-events.ts";
import { ago, count, value } from "../../format.ts";
import { Empty, Tag } from "../../parts/notice.tsx";
import { Panel, Table } from "../../parts/page.tsx";
import { Spark } from "../../parts/spark.tsx";
import { useNow } from "../../parts/use-now.ts";
import { FieldChart } from "./field-chart.tsx";
import { type LiveSeries, useLiveSeries } from "./live-charts.tsx";

/** What it says now, and the course of one of its fields. */
export function LiveTab({ device }: { device: DeviceDetail }) {
  const [chosen, setChosen] = useState<string>();
  const { series, hear } = useLiveSeries();
  const [newest, setNewest] = useState<ReadonlyMap<string, { time: string; value: Reading["value"] }>>(
    new Map(),
  );
  const listening = useReadings(device.id, (reading) => {
    hear(reading);
    setNewest((before) => {
      const after = new Map(before);
      for (const { time, readings } of reading.samples) {
        for (const [field, said] of Object.entries(readings)) {
          after.set(field, { time, value: typeof said === "boolean" ? Number(said) : said });
        }
      }
      return after;
    });
  });
  const readings = device.readings.map((reading) => ({ ...reading, ...newest.get(reading.field) }));
  const field = chosen ?? readings.find(({ valueType }) => valueType !== "text")?.field;
  if (readings.length === 0) {
    return (
      <Empty
        title="It has not sent anything yet"
        action={
          <a href="#connect" className="button">
            How to connect it
          </a>
        }
      >
        Its readings appear here as they arrive. Under Connect there is a line to try it with.
      </Empty>
    );
  }
  return (
    <div className="split">
      <Panel
        title="Readings"
        actions={<Tag tone={listening ? "ok" : "warn"}>{listening ? "live" : "connecting"}</Tag>}
      >
        <Readings readings={readings} series={series} field={field} onChoose={setChosen} />
      </Panel>
      {field !== undefined && (
        <Panel
          title={`${field}, last hour`}
          actions={<Link to={`/explore?s=${encodeURIComponent(`${device.id}/${field}`)}`}>Explore it</Link>}
        >
          <FieldChart device={device.id} field={field} live={series.get(field) ?? []} />
        </Panel>
      )}
      {device.gaps.length > 0 && <Gaps device={device} />}
    </div>
  );
}

function Readings({
  readings,
  series,
  field,
  onChoose,
}: {
  readings: readonly Reading[];
  series: LiveSeries;
  field: string | undefined;
  onChoose: (field: string) => void;
}) {
  const now = useNow();
  return (
    <Table
      label="Readings"
      columns={["Field", { name: "Value", num: true }, "When", { name: "Course", hidden: true }]}
    >
      {readings.map(({ field: name, value: said, unit, time, status, valueType }) => (
        <tr key={name} className={name === field ? "chosen" : undefined}>
          <td>
            {valueType === "text" ? (
              name
            ) : (
              <button
                type="button"
                className="link"
                aria-pressed={name === field}
                onClick={() => onChoose(name)}
              >
                {name}
              </button>
            )}
          </td>
          <td className="num nowrap">
            <strong>{value(said)}</strong> <span className="muted">{unit}</span>
          </td>
          <td className="nowrap">
            {ago(time, now)} {status !== "active" && <Tag tone="warn">{status}</Tag>}
          </td>
          <td className="course">
            <Spark
              values={(series.get(name) ?? []).slice(-60).map((point) => point.value)}
              label={`Course of ${name}`}
            />
          </td>
        </tr>
      ))}
    </Table>
  );
}

function Gaps({ device }: { device: DeviceDetail }) {
  return (
    <Panel title="Messages that never came">
      <Table label="Gaps" columns={["Life (boot)", "Sequence numbers", { name: "Missing", num: true }]}>
        {device.gaps.slice(0, 20).map(({ boot, from, to, missing }) => (
          <tr key={`${boot} ${from}`}>
            <td className="mono">{boot === "" ? "–" : boot}</td>
            <td className="mono">{from === to ? from : `${from} – ${to}`}</td>
            <td className="num">{count(missing)}</td>
          </tr>
        ))}
      </Table>
      <p className="muted">
        Numbers between two that arrived: the device counted them, nobody received them.
      </p>
    </Panel>
  );
}
