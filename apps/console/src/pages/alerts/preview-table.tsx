import type { RulePreview } from "../../api/types/alert.ts";
import { count, instant, span, value } from "../../format.ts";
import { Notice } from "../../parts/notice.tsx";
import { Table } from "../../parts/page.tsx";

const SHOWN = 50;

/** What a rule would have raised. */
export function PreviewTable({
  preview: { alerts, readings, sensors, cut, from, to },
}: {
  preview: RulePreview;
}) {
  const looked =
    readings === null ? "" : `Looked at ${count(readings)} readings of ${count(sensors)} sensors. `;
  const title =
    alerts.length === 0
      ? "It would have raised nothing"
      : `It would have raised ${count(alerts.length)} ${alerts.length === 1 ? "alert" : "alerts"}`;
  return (
    <div className="stack" aria-live="polite">
      <Notice tone={alerts.length > 20 ? "warn" : "ok"} title={title}>
        {looked}
        {instant(from)} – {instant(to)}.
        {cut && " There was more than could be looked at; name a device to see all of it."}
        {readings === 0 && " No reading is called that: check the name."}
      </Notice>
      {alerts.length > 0 && (
        <div className="changes">
          <Table
            label="What it would have raised"
            columns={["Raised", "Of", { name: "Worst", num: true }, { name: "Lasted", num: true }]}
          >
            {alerts.slice(0, SHOWN).map(({ device, sensor, raised, since, end, peak }) => (
              <tr key={`${device} ${sensor} ${raised}`}>
                <td className="nowrap">{instant(raised)}</td>
                <td>{sensor === null ? device : `${device}/${sensor}`}</td>
                <td className="num">{value(peak)}</td>
                <td className="num nowrap">
                  {end === null ? "still" : span(Date.parse(end) - Date.parse(since))}
                </td>
              </tr>
            ))}
          </Table>
        </div>
      )}
    </div>
  );
}
