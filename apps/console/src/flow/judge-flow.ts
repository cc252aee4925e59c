import type { Flow } from "../api/types/flow.ts";
import { count, span } from "../format.ts";

/** Something that needs a person, or will soon, and what to do about it. */
export interface Finding {
  severity: "bad" | "warn";
  title: string;
  advice: string;
  /** Page that says more. */
  to?: string;
}

const OLD_MS = 30_000;
const MANY = 1000;
const NEARLY_FULL = 0.8;

/** What is wrong with the path, the worst first. `looks` are the last minutes, oldest first. Pure. */
export function judgeFlow(looks: readonly Flow[]): Finding[] {
  const now = looks.at(-1);
  if (now === undefined) return [];
  const found: Finding[] = [];
  const bad = (title: string, advice: string, to?: string) =>
    void found.push({ severity: "bad", title, advice, ...(to ? { to } : {}) });
  const warn = (title: string, advice: string, to?: string) =>
    void found.push({ severity: "warn", title, advice, ...(to ? { to } : {}) });

  if (now.bus.state === "stopped") {
    bad(
      "The bus does not answer",
      "Nothing can be accepted until Redis (or NATS) is back. Devices hold their readings; look at its log with ./sluice status.",
    );
  }
  if (now.gateway.state === "stopped") {
    bad(
      "ingest-gateway does not answer",
      "Devices cannot send. Look at its log with ./sluice status; it is restarted by itself after a crash.",
    );
  }
  if (now.stores.postgres === "stopped") {
    bad(
      "PostgreSQL does not answer",
      "Messages wait on the bus and are stored when it is back; nothing is lost meanwhile.",
    );
  }
  if (now.stores.influx === "stopped") {
    bad(
      "InfluxDB does not answer",
      "Its messages wait on the bus and are written when it is back; PostgreSQL is not affected.",
    );
  }
  for (const group of now.groups) {
    const waiting = group.unread + group.pending + group.parked;
    if (group.state === "stopped") {
      bad(
        `${group.service} is stopped`,
        waiting === 0
          ? "Nobody reads for its group; what comes now will wait on the bus."
          : `${count(waiting)} messages wait for it. They are kept and worked off when it runs again.`,
        "/streams",
      );
    } else if (isGrowing(looks, group.group)) {
      warn(
        `${group.service} falls behind`,
        `${count(waiting)} messages wait, and it is getting more.`,
        "/streams",
      );
    } else if ((group.oldestPendingMs ?? 0) > OLD_MS) {
      warn(
        `${group.service} holds on to a message`,
        `The oldest was taken ${span(group.oldestPendingMs ?? 0)} ago and is not settled.`,
        "/streams",
      );
    }
    if (!group.balanced || group.lost > 0) {
      bad(
        `The ledger of ${group.group} does not balance`,
        `${count(group.lost)} messages are named as lost: ./sluice ledger says which.`,
        "/streams",
      );
    }
  }
  if (now.scheduler?.state === "stopped")
    warn("etl-scheduler is stopped", "Rollups and jobs wait; readings are stored all the same.", "/jobs");
  if (now.scheduler?.lastRun?.status === "failed")
    warn(
      `Job ${now.scheduler.lastRun.job} failed`,
      now.scheduler.lastRun.error ?? "Its window stays due.",
      "/jobs",
    );
  const { usedBytes, maxBytes } = now.bus;
  if (usedBytes !== null && maxBytes !== null && usedBytes > maxBytes * NEARLY_FULL) {
    warn(
      "The bus is nearly full",
      "At its limit the gateway stops accepting; find out which group is behind.",
      "/streams",
    );
  }
  return found.sort((a, b) => (a.severity === b.severity ? 0 : a.severity === "bad" ? -1 : 1));
}

/** More is unread now than a while ago, and than in the middle between. */
function isGrowing(looks: readonly Flow[], name: string): boolean {
  const unread = (look: Flow | undefined) => look?.groups.find(({ group }) => group === name)?.unread ?? 0;
  const last = looks.slice(-20);
  const now = unread(last.at(-1));
  return now > MANY && now > 1.2 * unread(last[0]) && now >= unread(last[Math.floor(last.length / 2)]);
}
