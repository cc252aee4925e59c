import { AckPolicy, DeliverPolicy, nanos } from "nats";
import { ensureStream, readEnd } from "./nats-end.ts";
import { ensureRecord, readRecord } from "./nats-ledger.ts";
import { findOwn, type NatsLink, natsFailureOf, natsName } from "./nats-stream.ts";

/** After how long an entry that nobody refreshes goes to whoever asks. */
export const RECLAIM_AFTER_MS = 10_000;
const MAX_ACK_PENDING = 20_000;

/** Makes sure the stream, the durable consumer and the ledger of `group` are there. */
export async function ensureNatsGroup(
  link: NatsLink,
  stream: string,
  group: string,
  ackWaitMs?: number,
): Promise<void> {
  await ensureStream(link, stream);
  const name = natsName(stream);
  const durable = natsName(group);
  const found = await link
    .ask(() => link.jsm.consumers.info(name, durable))
    .catch((error) => {
      if (natsFailureOf(error) !== "missing") throw error;
      return undefined;
    });
  const ackWait = nanos(ackWaitMs ?? RECLAIM_AFTER_MS);
  if (!found) {
    await link.ask(() =>
      link.jsm.consumers.add(name, {
        durable_name: durable,
        description: group,
        ack_policy: AckPolicy.Explicit,
        deliver_policy: DeliverPolicy.All,
        ack_wait: ackWait,
        max_deliver: -1,
        max_ack_pending: MAX_ACK_PENDING,
      }),
    );
  } else if (ackWaitMs !== undefined && found.config.ack_wait !== ackWait) {
    await link.ask(() => link.jsm.consumers.update(name, durable, { ...found.config, ack_wait: ackWait }));
  }
  if (await readRecord(link, stream, group)) return;
  const end = await readEnd(link, stream);
  const first = await findOwn(link, name, 1);
  await ensureRecord(link, stream, group, (first?.range.from ?? end.accepted + 1) - 1);
}
