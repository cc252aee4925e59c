import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { request } from "../../api/request.ts";
import type { AlertRule, RuleInput } from "../../api/types/alert.ts";
import { useList } from "../../api/use-list.ts";
import { useMay } from "../../api/use-session.ts";
import { value } from "../../format.ts";
import { AddButton } from "../../parts/add-button.tsx";
import { Confirm } from "../../parts/dialog.tsx";
import { Listing } from "../../parts/listing.tsx";
import { Empty, Tag } from "../../parts/notice.tsx";
import { NEW_RULE, RuleDialog } from "./rule-dialog.tsx";
import { SeverityTag } from "./severity-tag.tsx";

/** The rules, and making or changing one. */
export function RulesTab() {
  const [editing, setEditing] = useState<RuleInput & { id?: number }>();
  const [removing, setRemoving] = useState<AlertRule>();
  const client = useQueryClient();
  const mayChange = useMay("write");
  const rules = useList<AlertRule>(["rules"], "/api/v1/alerts/rules", "rules");
  const add = mayChange && <AddButton onClick={() => setEditing(NEW_RULE)}>Add a rule</AddButton>;
  return (
    <>
      <Listing
        title="Rules"
        actions={add}
        result={rules}
        columns={["Rule", "When", "Of", "Severity", "State", { name: "Actions", hidden: true }]}
        keyOf={({ id }) => id}
        empty={
          <Empty title="No rules yet" action={add}>
            A rule looks at every new reading: above or below a limit, out of a range, changing too fast, or a
            device that is silent. Before it is saved it is tried on past readings.
          </Empty>
        }
      >
        {(rule) => (
          <tr>
            <td>
              <strong>{rule.name}</strong>
            </td>
            <td>{conditionText(rule)}</td>
            <td>{rule.device ?? "every device"}</td>
            <td>
              <SeverityTag severity={rule.severity} />
            </td>
            <td>
              <Tag tone={rule.active ? "ok" : "plain"}>{rule.active ? "active" : "off"}</Tag>
            </td>
            <td className="num">
              {mayChange && (
                <span className="row end">
                  <button type="button" className="small" onClick={() => setEditing(rule)}>
                    Change<span className="hidden"> {rule.name}</span>
                  </button>
                  <button type="button" className="small danger" onClick={() => setRemoving(rule)}>
                    Delete<span className="hidden"> {rule.name}</span>
                  </button>
                </span>
              )}
            </td>
          </tr>
        )}
      </Listing>
      {editing && <RuleDialog rule={editing} onClose={() => setEditing(undefined)} />}
      {removing && (
        <Confirm
          title={`Delete ${removing.name}`}
          action="Delete"
          onClose={() => setRemoving(undefined)}
          onConfirm={async () => {
            await request("DELETE", `/api/v1/alerts/rules/${removing.id}`);
            await client.invalidateQueries({ queryKey: ["rules"] });
          }}
        >
          <p>Alerts that are active under it end. Those of the past stay.</p>
        </Confirm>
      )}
    </>
  );
}

/** temperature above 30 for 5 min */
function conditionText({ condition, sensorType, threshold, min, max, durationMinutes }: RuleInput): string {
  const long = durationMinutes > 0 ? ` for ${durationMinutes} min` : "";
  if (condition === "device_offline") return `silent${long}`;
  if (condition === "out_of_range") return `${sensorType} not within ${value(min)} – ${value(max)}${long}`;
  if (condition === "rate_of_change")
    return `${sensorType} changes faster than ${value(threshold)} a minute${long}`;
  return `${sensorType} ${condition} ${value(threshold)}${long}`;
}
