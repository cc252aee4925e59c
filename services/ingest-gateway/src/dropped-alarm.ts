/** Where brokers count the messages they drop: Mosquitto, EMQX. */
export const DROPPED_TOPICS = [
  "$SYS/broker/publish/messages/dropped",
  "$SYS/brokers/+/metrics/messages/dropped",
];

/**
 * Follows the broker's own count of dropped messages. An increase is an alarm: those publishers may hold a
 * PUBACK for something that nobody will ever see. The first value is taken as it is, a smaller one as a restart.
 */
export function createDroppedAlarm(
  log: { error(obj: object, msg: string): void },
  count: (by: number) => void,
): (topic: string, payload: string) => void {
  const last = new Map<string, number>();
  return (topic, payload) => {
    const total = Number(payload);
    if (!Number.isSafeInteger(total) || total < 0) return;
    const before = last.get(topic);
    last.set(topic, total);
    if (before === undefined || total === before) return;
    const dropped = total > before ? total - before : total;
    if (dropped === 0) return;
    count(dropped);
    log.error({ topic, dropped, total }, "the broker dropped messages: its queue limits were passed");
  };
}
