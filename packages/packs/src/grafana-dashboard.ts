import type { Dashboard, Pack, Panel } from "./pack.ts";

const POSTGRES = { type: "postgres", uid: "sluice-postgres" };
const HEIGHT = 8;
const WIDTH = 12;
const ROWS = 100;

/** Name of the file, and uid, of a pack's dashboard in Grafana. */
export const grafanaName = (pack: Pack, dashboard: Dashboard): string =>
  `sluice-pack-${pack.name}-${dashboard.name}`;

/** A dashboard of a pack as Grafana provisions it, its panels as queries to PostgreSQL. */
export function toGrafanaDashboard(pack: Pack, dashboard: Dashboard): object {
  return {
    uid: grafanaName(pack, dashboard),
    title: `Sluice: ${pack.title}: ${dashboard.title}`,
    tags: ["sluice", "pack"],
    schemaVersion: 39,
    version: 1,
    editable: false,
    timezone: "browser",
    refresh: "30s",
    time: { from: "now-6h", to: "now" },
    templating: {
      list: [
        {
          name: "device",
          label: "Device",
          type: "query",
          datasource: POSTGRES,
          query: `SELECT DISTINCT d.device_code FROM iot.devices d JOIN iot.sensors s ON s.device_id = d.id WHERE ${ofPack(pack)} ORDER BY 1`,
          multi: true,
          includeAll: true,
          refresh: 2,
          sort: 1,
          current: { text: "All", value: "$__all" },
        },
      ],
    },
    panels: dashboard.panels.map((panel, i) => ({
      id: i + 1,
      gridPos: { x: (i % 2) * WIDTH, y: Math.floor(i / 2) * HEIGHT, w: WIDTH, h: HEIGHT },
      title: panel.title,
      type: panel.kind === "chart" ? "timeseries" : "table",
      datasource: POSTGRES,
      fieldConfig: { defaults: { unit: "short" }, overrides: [] },
      options: {},
      targets: [
        {
          refId: "A",
          datasource: POSTGRES,
          rawQuery: true,
          format: panel.kind === "chart" ? "time_series" : "table",
          rawSql: sqlOf(panel),
        },
      ],
    })),
  };
}

/** Condition on `s`, a sensor, and `d`, its device: that they are the pack's. */
function ofPack({ deviceTypes, sensorTypes }: Pack): string {
  const fields = `s.sensor_code IN (${list(sensorTypes.flatMap((type) => type.fields))})`;
  return deviceTypes.length === 0 ? fields : `${fields} AND d.device_type IN (${list(deviceTypes)})`;
}

const quote = (text: string) => `'${text.replaceAll("'", "''")}'`;
const list = (texts: readonly string[]) => texts.map(quote).join(", ");
/** An array, since a list may not be empty in SQL: there may be no device of the pack yet. */
const chosen = (fields: readonly string[]) =>
  `s.sensor_code IN (${list(fields)}) AND d.device_code = ANY (ARRAY[\${device:sqlstring}]::text[])`;

function sqlOf(panel: Panel): string {
  if (panel.kind === "chart")
    return `SELECT m.time, d.device_code || ' ' || s.sensor_code AS metric, m.value
  FROM iot.devices d JOIN iot.sensors s ON s.device_id = d.id JOIN measurement m ON m.sensor_id = s.id
 WHERE $__timeFilter(m.time) AND ${chosen(panel.fields)}
 ORDER BY 1 LIMIT 100000`;
  if (panel.kind === "latest")
    return `SELECT d.device_code AS device, s.sensor_code AS sensor, m.value, s.unit, m.time
  FROM iot.devices d JOIN iot.sensors s ON s.device_id = d.id
 CROSS JOIN LATERAL (SELECT time, value FROM measurement WHERE sensor_id = s.id ORDER BY time DESC LIMIT 1) m
 WHERE ${chosen(panel.fields)}
 ORDER BY 1, 2`;
  const conditions = Object.entries(panel.where).map(([column, value]) => `${column} = ${quote(value)}`);
  const where = conditions.length === 0 ? "" : ` WHERE ${conditions.join(" AND ")}`;
  return `SELECT ${panel.columns.join(", ")} FROM ${panel.from}${where} ORDER BY 1 DESC NULLS LAST LIMIT ${ROWS}`;
}
