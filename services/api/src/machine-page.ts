import {
  listAlertDays,
  listEnergyHours,
  listMachineDays,
  listProgramDays,
  type MachineDays,
  type Queries,
} from "@sluice/db";

/** A page of figures of a machine, with a form for other days. */
export async function machinePage(db: Queries, days: MachineDays): Promise<string> {
  const utilization = await listMachineDays(db, days);
  const programs = await listProgramDays(db, days);
  const alerts = await listAlertDays(db, days);
  const energy = new Map<string, number>();
  for (const { hour_ts, energy_kwh } of await listEnergyHours(db, days)) {
    const day = hour_ts.slice(0, 10);
    energy.set(day, (energy.get(day) ?? 0) + energy_kwh);
  }
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${text(days.machineId)}</title><style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1b2733 }
form { display: flex; gap: 1rem; align-items: end; flex-wrap: wrap } label { display: grid }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem } th, td { padding: 0.2rem 0.9rem 0.2rem 0; text-align: left }
td { border-top: 1px solid #dde3e9; font-variant-numeric: tabular-nums }
</style></head><body>
<h1>${text(days.machineId)}</h1>
<form method="get" action="/machines">
<label>Machine <input name="machine_id" value="${text(days.machineId)}" pattern="[a-z0-9-]{1,50}" required></label>
<label>From <input type="date" name="start_date" value="${text(days.from)}" required></label>
<label>To <input type="date" name="end_date" value="${text(days.to)}" required></label>
<button>Show</button>
</form>
${table(
  "Utilization, hours",
  ["Day", "Running", "Planned down", "Unplanned down", "Running %", "Down %"],
  utilization.map((day) => [
    day.dt,
    day.state_running,
    day.state_planned_down,
    day.state_unplanned_down,
    day.running_percentage,
    day.down_percentage,
  ]),
)}
${table(
  "Energy",
  ["Day", "kWh"],
  [...energy].map(([day, kwh]) => [day, kwh.toFixed(3)]),
)}
${table(
  "Programs",
  ["Day", "Program", "Seconds"],
  programs.map((day) => [day.dt, `P${day.program}`, day.duration_seconds]),
)}
${table(
  "Alarms",
  ["Day", "Kind", "Snapshots", "Newly raised"],
  alerts.map((day) => [day.day, day.alert_type, day.amount, day.newly_raised]),
)}
</body></html>`;
}

type Cell = string | number | null;

function table(title: string, head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const body = rows.map((row) => `<tr>${row.map((cell) => `<td>${text(cell ?? "–")}</td>`).join("")}</tr>`);
  const content =
    rows.length === 0
      ? "<p>Nothing in these days.</p>"
      : `<table><tr>${head.map((name) => `<th>${name}</th>`).join("")}</tr>${body.join("")}</table>`;
  return `<h2>${title}</h2>${content}`;
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const text = (value: string | number) => String(value).replace(/[&<>"]/g, (letter) => ENTITIES[letter] ?? "");
