import { type Balance, balanceOf, balanceZones, findLeaks, type NodeVolume, roleOf } from "@sluice/analytics";
import type { DerivedRow, WaterNode } from "@sluice/db";
import { round4 } from "../jobs/load.ts";
import type { Window } from "./windows.ts";

/** Name of the zone of nodes that are in none. */
const NO_ZONE = "unassigned";
/** Least completeness, in %, of a window whose volume may hint at a leak: what is missing is no loss. */
const WELL_KNOWN = 80;

/**
 * Balance of the network in a window, from the rows of its nodes and what stood out there. Undefined where no node had
 * a reading.
 */
export function networkRow(
  nodes: readonly WaterNode[],
  window: Window,
  metrics: readonly DerivedRow[],
  anomalies: readonly DerivedRow[],
): DerivedRow | undefined {
  const own = new Map(metrics.map((row) => [row.node_id, row]));
  if (own.size === 0) return undefined;
  const listed = nodes.filter(({ active, node }) => active || own.has(node));
  const volumes = listed.map((node) => toVolume(node, own.get(node.node)));
  const total = balanceOf(volumes);
  const leaks = findLeaks(
    volumes.map((volume) => {
      const complete = Number(own.get(volume.node)?.data_completeness ?? 0) >= WELL_KNOWN;
      return complete ? volume : { ...volume, volume: null };
    }),
  );
  const zoneOf = new Map(listed.map(({ node, zone }) => [node, zone ?? NO_ZONE]));
  const anomalyZones: Record<string, number> = {};
  for (const { node_id } of anomalies) {
    const zone = zoneOf.get(String(node_id)) ?? NO_ZONE;
    anomalyZones[zone] = (anomalyZones[zone] ?? 0) + 1;
  }
  return {
    time_window: window.kind,
    window_start: new Date(window.fromMs).toISOString(),
    window_end: new Date(window.toMs).toISOString(),
    total_input_volume: round4(total.input),
    total_output_volume: round4(total.output),
    total_loss_volume: round4(total.loss),
    efficiency_percentage: round4(total.efficiency ?? undefined),
    zone_metrics: Object.fromEntries(
      [...balanceZones(volumes)].map(([zone, balance]) => [
        zone,
        { ...rounded(balance), leak: leaks.some((leak) => leak.zone === zone) },
      ]),
    ),
    leak_hints: leaks.map(({ zone, from, to, loss, lossPercent }) => ({
      zone,
      from,
      to,
      loss: round4(loss),
      loss_percentage: round4(lossPercent),
    })),
    active_nodes: own.size,
    total_nodes: listed.length,
    network_availability: Number(((own.size / listed.length) * 100).toFixed(2)),
    total_anomalies: anomalies.length,
    critical_anomalies: anomalies.filter(({ severity }) => severity === "critical").length,
    anomaly_zones: anomalyZones,
  };
}

const toVolume = ({ node, zone, type, upstream }: WaterNode, row: DerivedRow | undefined): NodeVolume => ({
  node,
  zone: zone ?? NO_ZONE,
  role: roleOf(type),
  volume: typeof row?.total_volume === "number" ? row.total_volume : null,
  upstream: upstream ?? undefined,
});

const rounded = ({ input, output, loss, efficiency }: Balance) => ({
  input: round4(input),
  output: round4(output),
  loss: round4(loss),
  efficiency: round4(efficiency ?? undefined),
});
