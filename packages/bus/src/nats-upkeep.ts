import type { Entry } from "./bus.ts";
import { ensureNatsGroup } from "./nats-group.ts";
import { type Findings, findLosses } from "./nats-losses.ts";
import { type NatsLink, natsFailureOf, natsName } from "./nats-stream.ts";
import { trimNats } from "./nats-trim.ts";
import type { TrimPolicy } from "./trim-policy.ts";

const LOSSES_EVERY_MS = 500;
const TICK_MS = 50;
const CLOSE_WAIT_MS = 5_000;

/** What the upkeep of one reader needs of it. */
export interface UpkeepOptions {
  trim: TrimPolicy;
  reclaimAfterMs: number;
  /** Looks whether the ledger has what the reader counted. */
  confirm(): Promise<void>;
  /** Tells the server that the entries of the reader are still worked on. */
  refresh(): void;
  onFindings(findings: Findings): void;
  /** Neither an outage nor a group that is gone. */
  onFailure(error: unknown): void;
}

/** See {@link startNatsUpkeep}. */
export interface NatsUpkeep {
  /** The group may be gone: looks, and makes it again. */
  suspectGroup(): void;
  close(): Promise<void>;
}

/**
 * What goes on beside reading: refreshing what is in hand, making a vanished group again, naming losses, trimming.
 * Resolves after the first look for losses.
 */
export async function startNatsUpkeep(
  link: NatsLink,
  stream: string,
  group: string,
  { trim, reclaimAfterMs, confirm, refresh, onFindings, onFailure }: UpkeepOptions,
): Promise<NatsUpkeep> {
  let suspected = false;
  let working: Promise<void> | undefined;
  let lossesAt = 0;
  let trimAt = 0;
  let forgottenSinceMs = new Map<string, number>();

  async function lookForLosses(): Promise<void> {
    lossesAt = performance.now();
    await confirm();
    const findings = await findLosses(link, stream, group);
    for (const range of findings.lost) {
      link.log.error(range, "messages that were accepted are gone before this group had them");
    }
    const forgotten = takeDue(findings.forgotten);
    if (forgotten.length > 0) {
      const detail = { stream, group, entries: forgotten.length };
      link.log.warn(detail, "the server has forgotten pending entries; they are read from the stream");
    }
    onFindings({ lost: findings.lost, forgotten });
  }

  /** Somebody may still be working on them: as long as for any other entry nobody else takes them over. */
  function takeDue(forgotten: readonly Entry[]): Entry[] {
    const now = performance.now();
    forgottenSinceMs = new Map(forgotten.map(({ id }) => [id, forgottenSinceMs.get(id) ?? now]));
    return forgotten.filter(({ id }) => now - (forgottenSinceMs.get(id) ?? now) >= reclaimAfterMs);
  }

  async function regroup(): Promise<void> {
    try {
      await link.ask(() => link.jsm.consumers.info(natsName(stream), natsName(group)));
    } catch (error) {
      if (natsFailureOf(error) !== "missing") throw error;
      link.log.error({ stream, group }, "the group was gone; it is created again at the first entry");
      await ensureNatsGroup(link, stream, group, reclaimAfterMs);
      await lookForLosses();
    }
    suspected = false;
  }

  async function work(): Promise<void> {
    if (suspected) await regroup();
    if (performance.now() - lossesAt >= LOSSES_EVERY_MS) await lookForLosses();
    if (performance.now() - trimAt >= trim.everyMs) {
      trimAt = performance.now();
      await trimNats(link, stream, trim);
    }
  }

  function start(): void {
    if (working || !link.connected()) return;
    working = work()
      .catch((error) => {
        const kind = natsFailureOf(error);
        if (kind === "bug") onFailure(error);
        if (kind === "missing") suspected = true;
      })
      .finally(() => {
        working = undefined;
      });
  }

  await lookForLosses();
  const refresher = setInterval(() => link.connected() && refresh(), Math.max(50, reclaimAfterMs / 4));
  const ticker = setInterval(start, TICK_MS);
  return {
    suspectGroup() {
      suspected = true;
    },
    async close() {
      clearInterval(ticker);
      clearInterval(refresher);
      // At most as long as a request may take; what is left undone somebody else's upkeep does.
      let timer: NodeJS.Timeout | undefined;
      const timeout = new Promise<void>((resume) => {
        timer = setTimeout(resume, CLOSE_WAIT_MS);
      });
      await Promise.race([working, timeout]);
      clearTimeout(timer);
    },
  };
}
