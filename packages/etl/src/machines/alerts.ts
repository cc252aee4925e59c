import { type Alarm, type AlertType, readAlarmList } from "@sluice/analytics";
import {
  ALERT_COUNT_TABLE,
  ALERT_DETAIL_TABLE,
  type DerivedRow,
  type LogText,
  type TimeRange,
  utcDate,
  utcText,
} from "@sluice/db";
import { idsOf } from "./machine.ts";
import { floorDay, type MachineFigures, type MachineScript } from "./machine-job.ts";

/** Alarms of each day by kind, and every emergency and error. */
export const alerts: MachineScript = {
  name: "etl_agg_alerts",
  tables: [ALERT_COUNT_TABLE, ALERT_DETAIL_TABLE],
  needs: ["alarms"],
  variables: (machine) => idsOf(machine, "alarms"),
  async compute(machine, days) {
    const [alarms] = idsOf(machine, "alarms");
    const texts = alarms === undefined ? [] : await machine.log.listTexts(alarms, days);
    return figuresOf(machine.machineId, texts, days);
  },
};

interface Count {
  dayMs: number;
  type: AlertType;
  amount: number;
  raised: number;
}

function figuresOf(machineId: string, texts: readonly LogText[], { fromMs }: TimeRange): MachineFigures {
  const counts = new Map<string, Count>();
  const details: DerivedRow[] = [];
  const bad = new Map<number, number>();
  let active: ReadonlySet<string> = new Set();
  for (const { atMs, text } of texts) {
    if (isNothing(text)) continue;
    const list = readAlarmList(text, active);
    const dayMs = floorDay(atMs);
    if (list) active = list.active;
    if (atMs < fromMs) continue;
    const unread = list ? list.bad : 1;
    if (unread > 0) bad.set(dayMs, (bad.get(dayMs) ?? 0) + unread);
    for (const alarm of list?.alarms ?? []) {
      const count = countOf(counts, dayMs, alarm.type);
      count.amount++;
      if (alarm.newlyRaised) count.raised++;
      if (alarm.type === "emergency" || alarm.type === "error")
        details.push(detailOf(machineId, atMs, alarm));
    }
  }
  const days = [...counts.values()].map(({ dayMs, type, amount, raised }) => ({
    machine_id: machineId,
    day: utcDate(dayMs),
    alert_type: type,
    amount,
    newly_raised: raised,
  }));
  return {
    outputs: [
      { table: ALERT_COUNT_TABLE, rows: days },
      { table: ALERT_DETAIL_TABLE, rows: details },
    ],
    bad,
  };
}

/** What the log holds while the machine is off. */
const isNothing = (text: string | null): text is null =>
  text === null || text.trim() === "" || text.trim().toLowerCase() === "nan";

function countOf(counts: Map<string, Count>, dayMs: number, type: AlertType): Count {
  const key = `${dayMs}/${type}`;
  const count = counts.get(key) ?? { dayMs, type, amount: 0, raised: 0 };
  counts.set(key, count);
  return count;
}

const detailOf = (machineId: string, atMs: number, alarm: Alarm): DerivedRow => ({
  machine_id: machineId,
  dt: utcText(atMs),
  elem_no: alarm.position,
  alert_type: alarm.type,
  alarm_code: alarm.code,
  alarm_description: alarm.text,
  raw_elem_json: alarm.element,
  newly_raised: alarm.newlyRaised,
});
