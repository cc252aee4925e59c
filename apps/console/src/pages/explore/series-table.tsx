import { query } from "../../api/request.ts";
import { count, instant, span, value } from "../../format.ts";
import { Tag } from "../../parts/notice.tsx";
import { Table } from "../../parts/page.tsx";
import { columnsOf, doubtful, summarise } from "./plot-data.ts";
import type { SeriesLine } from "./use-series.ts";

const RESOLUTIONS = { raw: "readings", "5m": "5 minutes", "1h": "hours", "1d": "days" } as const;

interface Props {
  lines: readonly SeriesLine[];
  range: { fromMs: number; toMs: number };
  /** The instant under the cursor. */
  atS: number | null;
}

/** What the lines are and amount to; also for those who do not see the chart. */
export function SeriesTable({ lines, range, atS }: Props) {
  const numbers = [atS === null ? "Last" : "At cursor", "Mean", "Min", "Max", "Readings"];
  return (
    <>
      <p className="muted cursor-time">
        {instant(range.fromMs)} – {instant(range.toMs)}
        {atS !== null && <strong> · {instant(atS * 1000)}</strong>}
      </p>
      <Table
        label="Lines"
        columns={[
          "Line",
          ...numbers.map((name) => ({ name, num: true })),
          "Shown as",
          "In doubt",
          { name: "Download", hidden: true },
        ]}
      >
        {lines.map((line) => (
          <Row key={`${line.sensor} ${line.shiftMs}`} line={line} range={range} atS={atS} />
        ))}
      </Table>
    </>
  );
}

function Row({
  line: { sensor, color, shiftMs, series },
  range,
  atS,
}: Omit<Props, "lines"> & { line: SeriesLine }) {
  const summary = summarise(series);
  const doubts = doubtful(series);
  const csv = `/api/v1/series${query({
    sensor,
    from: new Date(range.fromMs - shiftMs).toISOString(),
    to: new Date(range.toMs - shiftMs).toISOString(),
    resolution: series.resolution,
    format: "csv",
  })}`;
  const { unit } = series.sensor;
  return (
    <tr>
      <td className="nowrap">
        <span className={shiftMs === 0 ? "swatch" : "swatch dashed"} style={{ color }} aria-hidden />
        {sensor} {unit && <span className="muted">{unit}</span>}
        {shiftMs > 0 && <span className="muted"> {span(shiftMs)} earlier</span>}
      </td>
      <td className="num">
        <strong>{value(valueAt(series, shiftMs, atS))}</strong>
      </td>
      <td className="num">{value(summary?.mean)}</td>
      <td className="num">{value(summary?.min)}</td>
      <td className="num">{value(summary?.max)}</td>
      <td className="num">{count(summary?.readings)}</td>
      <td className="nowrap">{RESOLUTIONS[series.resolution]}</td>
      <td>
        {doubts.length === 0 ? (
          <span className="muted">–</span>
        ) : (
          <Tag tone="bad">{`${doubts.length}: ${doubts.at(-1)?.why}`}</Tag>
        )}
      </td>
      <td className="num">
        <a href={csv} download>
          CSV<span className="hidden"> of {sensor}</span>
        </a>
      </td>
    </tr>
  );
}

/** The last value at or before an instant; the last of all where none is given. */
function valueAt(series: SeriesLine["series"], shiftMs: number, atS: number | null): number | null {
  const { times, values } = columnsOf(series, shiftMs);
  let found: number | null = null;
  for (let i = 0; i < times.length && (atS === null || (times[i] ?? 0) <= atS); i++)
    found = values[i] ?? found;
  return found;
}
