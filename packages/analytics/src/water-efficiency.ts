/** What a node of a network is to it. */
export type NodeRole = "input" | "output" | "other";

const ROLES: Readonly<Record<string, NodeRole>> = {
  input: "input",
  source: "input",
  supply: "input",
  output: "output",
  delivery: "output",
  distribution: "output",
};

/** Role of a node by its type: what brings water in, what takes it out, and what only measures. */
export const roleOf = (nodeType: string): NodeRole => ROLES[nodeType.toLowerCase()] ?? "other";

/** A node with what went through it in a window; null where it is not known well enough to be judged. */
export interface NodeVolume {
  readonly node: string;
  readonly zone: string;
  readonly role: NodeRole;
  readonly volume: number | null;
  /** The node that feeds it, where somebody said so. */
  readonly upstream?: string | undefined;
}

/** Balance of volumes, in their unit. */
export interface Balance {
  readonly input: number;
  readonly output: number;
  readonly loss: number;
  /** Volumetric efficiency in %: output volume / input volume * 100. Null where nothing came in. */
  readonly efficiency: number | null;
}

/** More is lost between two points than there should be. */
export interface LeakHint {
  readonly zone: string;
  /** What feeds, and what is fed. */
  readonly from: string;
  readonly to: readonly string[];
  readonly loss: number;
  readonly lossPercent: number;
}

/** Share of what went in that may be lost before it hints at a leak. */
export const LEAK_SHARE = 0.1;

/** Balance of the nodes: what does not bring water in or take it out does not count, nor does what is not known. */
export function balanceOf(nodes: readonly NodeVolume[]): Balance {
  const sum = (role: NodeRole) =>
    nodes.filter((node) => node.role === role).reduce((total, { volume }) => total + (volume ?? 0), 0);
  const input = sum("input");
  const output = sum("output");
  return { input, output, loss: input - output, efficiency: input > 0 ? (output / input) * 100 : null };
}

/** Balance of every zone, by its name. */
export function balanceZones(nodes: readonly NodeVolume[]): Map<string, Balance> {
  const zones = [...new Set(nodes.map(({ zone }) => zone))].sort();
  return new Map(zones.map((zone) => [zone, balanceOf(nodes.filter((node) => node.zone === zone))]));
}

/**
 * Where more than a tenth is lost: between a node and those that name it as upstream; where no node of a zone names
 * one, between all its inputs and outputs. A pair of which one side is not known is not judged.
 */
export function findLeaks(nodes: readonly NodeVolume[]): LeakHint[] {
  const hints: LeakHint[] = [];
  const judge = (zone: string, from: readonly NodeVolume[], to: readonly NodeVolume[]) => {
    if (from.length === 0 || to.length === 0) return;
    if ([...from, ...to].some(({ volume }) => volume === null)) return;
    const given = total(from);
    const loss = given - total(to);
    if (given <= 0 || loss <= LEAK_SHARE * given) return;
    hints.push({
      zone,
      from: from.map(({ node }) => node).join(", "),
      to: to.map(({ node }) => node),
      loss,
      lossPercent: (loss / given) * 100,
    });
  };
  for (const zone of new Set(nodes.map((node) => node.zone))) {
    const own = nodes.filter((node) => node.zone === zone);
    const fed = own.filter(({ upstream }) => nodes.some(({ node }) => node === upstream));
    for (const feeder of new Set(fed.map(({ upstream }) => upstream))) {
      const from = nodes.filter(({ node }) => node === feeder);
      judge(
        zone,
        from,
        nodes.filter(({ upstream }) => upstream === feeder),
      );
    }
    if (fed.length > 0) continue;
    judge(
      zone,
      own.filter(({ role }) => role === "input"),
      own.filter(({ role }) => role === "output"),
    );
  }
  return hints.sort((a, b) => b.lossPercent - a.lossPercent);
}

const total = (nodes: readonly NodeVolume[]) => nodes.reduce((sum, { volume }) => sum + (volume ?? 0), 0);
