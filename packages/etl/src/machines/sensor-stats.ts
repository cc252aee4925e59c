import { heldValues, offTimes, statisticsByHour, subtractStretches } from "@sluice/analytics";
import { SENSOR_STATS_TABLE, utcText } from "@sluice/db";
import { idsOf, samplesOfRole } from "./machine.ts";
import type { MachineScript } from "./machine-job.ts";

/** Hourly statistics of sensors, weighted by how long each value held. */
export const sensorStats: MachineScript = {
  name: "etl_agg_sensor_stats",
  tables: [SENSOR_STATS_TABLE],
  needs: ["sensor"],
  variables: (machine) => idsOf(machine, "sensor", "operation"),
  async compute(machine, days) {
    const samples = await machine.log.listSamples(idsOf(machine, "sensor", "operation"), days);
    const off = offTimes(samplesOfRole(machine, "operation", samples)[0] ?? [], days.toMs);
    const rows = machine.roles.sensor.flatMap(({ id, name, factor }) => {
      const all = samples.get(id) ?? [];
      const held = subtractStretches(heldValues(all, { ...days, knownToMs: machine.span.toMs }), off);
      const readings = all.filter(({ atMs }) => atMs >= days.fromMs && atMs < days.toMs);
      return [...statisticsByHour(held, readings)].map(([hourMs, hour]) => ({
        machine_id: machine.machineId,
        sensor_name: name,
        dt: utcText(hourMs),
        min_value: round2(hour.min * factor),
        avg_value: round2(hour.mean * factor),
        max_value: round2(hour.max * factor),
        std_dev: round2(hour.deviation * Math.abs(factor)),
        readings_count: hour.readings,
      }));
    });
    return { outputs: [{ table: SENSOR_STATS_TABLE, rows }] };
  },
};

const round2 = (value: number) => Math.round(value * 100) / 100;
