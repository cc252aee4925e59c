import { useEffect, useState } from "react";
import { useSearchParams } from "wouter";
import { span as spanOf } from "../../format.ts";
import { Copyable, Field, Tabs } from "../../parts/field.tsx";
import { ChevronLeft, ChevronRight, ZoomIn, ZoomOut } from "../../parts/icons.ts";
import { Empty, Problem } from "../../parts/notice.tsx";
import { Page } from "../../parts/page.tsx";
import { useNow } from "../../parts/use-now.ts";
import { SensorPicker } from "./sensor-picker.tsx";
import { SeriesChart } from "./series-chart.tsx";
import { SeriesTable } from "./series-table.tsx";
import { useSeries } from "./use-series.ts";
import { formatView, parseView, rangeOf, spanText, type View } from "./view.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const SPANS = [HOUR_MS, 6 * HOUR_MS, DAY_MS, 7 * DAY_MS, 30 * DAY_MS, 365 * DAY_MS];
const NAMES = new Map(SPANS.map((ms) => [spanText(ms), ms === 365 * DAY_MS ? "1 year" : spanOf(ms)]));
const COMPARE: readonly [string, string][] = [
  ["", "nothing"],
  [spanText(DAY_MS), "a day earlier"],
  [spanText(7 * DAY_MS), "a week earlier"],
  [spanText(30 * DAY_MS), "30 days earlier"],
  [spanText(365 * DAY_MS), "a year earlier"],
];
const REFRESH_MS = 10_000;
const SHORTEST_MS = 1000;

/** Charts of any sensors over any time, compared with each other and with earlier. */
export function ExplorePage() {
  const [params, setParams] = useSearchParams();
  const [sharing, setSharing] = useState(false);
  const view = parseView(params);
  const now = useNow(REFRESH_MS);
  const { fromMs, toMs } = rangeOf(view, now);
  const show = (change: Partial<View>) => setParams(formatView({ ...view, ...change }));
  const zoom = (from: number, to: number) =>
    to - from >= SHORTEST_MS &&
    show({ span: { fromMs: Math.round(from), toMs: Math.round(Math.min(to, Date.now())) } });
  const { lines, error, loading } = useSeries(view, { fromMs, toMs });
  const [cursor, setCursor] = useState<number | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a cursor belongs to what was shown
  useEffect(() => setCursor(null), [params]);
  const length = toMs - fromMs;
  return (
    <Page
      title="Explore"
      lead="Drag over the chart to zoom, from a year to single readings."
      actions={
        <button type="button" onClick={() => setSharing(!sharing)} aria-expanded={sharing}>
          Link to this view
        </button>
      }
    >
      {sharing && (
        <div className="panel">
          <Copyable label="link" text={location.href} />
        </div>
      )}
      <div className="explore">
        <SensorPicker chosen={view.sensors} onChange={(sensors) => show({ sensors })} />
        <div className="stack">
          <div className="filters explore-bar">
            <Tabs
              label="Time shown"
              tabs={SPANS.map((ms) => [spanText(ms), NAMES.get(spanText(ms)) ?? ""] as const)}
              value={"lastMs" in view.span ? spanText(view.span.lastMs) : ""}
              onChange={(text) =>
                show({ span: { lastMs: SPANS.find((ms) => spanText(ms) === text) ?? DAY_MS } })
              }
            />
            <div className="row">
              <button
                type="button"
                className="icon"
                aria-label="Earlier"
                onClick={() => zoom(fromMs - length / 2, toMs - length / 2)}
              >
                <ChevronLeft size={18} aria-hidden />
              </button>
              <button
                type="button"
                className="icon"
                aria-label="Zoom in"
                onClick={() => zoom(fromMs + length / 4, toMs - length / 4)}
              >
                <ZoomIn size={18} aria-hidden />
              </button>
              <button
                type="button"
                className="icon"
                aria-label="Zoom out"
                onClick={() => zoom(fromMs - length / 2, toMs + length / 2)}
              >
                <ZoomOut size={18} aria-hidden />
              </button>
              <button
                type="button"
                className="icon"
                aria-label="Later"
                onClick={() => zoom(fromMs + length / 2, toMs + length / 2)}
              >
                <ChevronRight size={18} aria-hidden />
              </button>
            </div>
            <Field label="Compare with">
              {(ids) => (
                <select
                  {...ids}
                  value={view.compareMs === undefined ? "" : spanText(view.compareMs)}
                  onChange={({ target }) => setParams(withCompare(params, target.value))}
                >
                  {COMPARE.map(([text, name]) => (
                    <option key={text} value={text}>
                      {name}
                    </option>
                  ))}
                </select>
              )}
            </Field>
            <label className="check">
              <input
                type="checkbox"
                checked={view.bands}
                onChange={({ target }) => show({ bands: target.checked })}
              />
              Minimum and maximum
            </label>
          </div>
          {error && <Problem error={error} />}
          {view.sensors.length === 0 ? (
            <Empty title="Choose a sensor to begin with">
              Tick one or more in the list. Their course appears here, and the address of this page keeps the
              view.
            </Empty>
          ) : (
            <div className="panel">
              <SeriesChart
                lines={lines}
                range={{ fromMs, toMs }}
                bands={view.bands}
                loading={loading}
                onZoom={zoom}
                onPoint={setCursor}
              />
              <SeriesTable lines={lines} range={{ fromMs, toMs }} atS={cursor} />
            </div>
          )}
        </div>
      </div>
    </Page>
  );
}

function withCompare(params: URLSearchParams, text: string): URLSearchParams {
  const changed = new URLSearchParams(params);
  if (text === "") changed.delete("compare");
  else changed.set("compare", text);
  return changed;
}
