import type { Topics } from "@sluice/shared-types";
import type { Verdict } from "./ingest.ts";

/**
 * What a device is told about a message of its own: `/ack` with `{boot, seq, level: "accepted"}` where the
 * message names itself by `seq`, `/rejected` with reason codes where anything of it was refused.
 */
export function answersOf(
  verdict: Verdict,
  topics: Topics,
  payload: Buffer,
): { topic: string; payload: string }[] {
  const { device, refusals } = verdict;
  if (device === undefined) return [];
  const { boot, seq } = verdict.seq === undefined && refusals.length > 0 ? claimedIdentity(payload) : verdict;
  const identity = { ...(boot === undefined ? {} : { boot }), ...(seq === undefined ? {} : { seq }) };
  const answers: { topic: string; payload: string }[] = [];
  const [first] = refusals;
  if (verdict.accepted && seq !== undefined) {
    answers.push({ topic: topics.ack(device), payload: JSON.stringify({ ...identity, level: "accepted" }) });
  }
  if (first) {
    const { reason, detail } = first;
    const indexes = refusals.flatMap(({ index }) => (index === undefined ? [] : [index]));
    const which = indexes.length > 0 ? { indexes: indexes.slice(0, 100) } : {};
    answers.push({
      topic: topics.rejected(device),
      payload: JSON.stringify({ ...identity, level: "rejected", reason, detail, ...which }),
    });
  }
  return answers;
}

/** `boot` and `seq` of a payload that was refused before they were read: its device waits for an answer to them. */
function claimedIdentity(payload: Buffer): { boot?: string; seq?: number } {
  try {
    const json = JSON.parse(payload.toString("utf8")) as {
      boot?: unknown;
      boot_id?: unknown;
      seq?: unknown;
    } | null;
    const boot = json?.boot ?? json?.boot_id;
    return {
      ...(typeof boot === "string" || typeof boot === "number" ? { boot: String(boot).slice(0, 64) } : {}),
      ...(typeof json?.seq === "number" ? { seq: json.seq } : {}),
    };
  } catch {
    return {};
  }
}

/** What `{root}/system/time` tells devices without NTP; never retained, because it ages. */
export const timeMessage = (nowMs: number): string =>
  JSON.stringify({
    epochMs: nowMs,
    epochS: Math.floor(nowMs / 1000),
    iso: new Date(nowMs).toISOString(),
  });
