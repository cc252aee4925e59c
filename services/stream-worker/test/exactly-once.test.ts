import { afterAll, beforeAll, expect, test } from "@jest/globals";
import type { Entry } from "@sluice/bus";
import { usePostgres, useRedis } from "@sluice/testkit";
import fc from "fast-check";
import { entry, message, type OpenWorker, openStore } from "./open-worker.ts";

const postgres = usePostgres();
const redis = useRedis();
let workers: (OpenWorker & { close(): Promise<void> })[] = [];
beforeAll(async () => {
  workers = await Promise.all([openStore(postgres.url, redis.url), openStore(postgres.url, redis.url)]);
});
afterAll(() => Promise.all(workers.map((worker) => worker.close())));

const T = Date.UTC(2026, 1, 3) * 1000;
let run = 0;

interface Sent {
  device: number;
  at: number;
  fields: Record<string, number | null>;
  boot?: string | undefined;
  seq?: number | undefined;
}

const sent: fc.Arbitrary<Sent> = fc.record({
  device: fc.nat(2),
  at: fc.nat(6),
  fields: fc.dictionary(fc.constantFrom("a", "b"), fc.constantFrom(1, 2, null), { minKeys: 1, maxKeys: 2 }),
  boot: fc.constantFrom(undefined, "x"),
  seq: fc.constantFrom(undefined, 1, 2, 3, 4, 5),
});
const batches = fc.array(
  fc.array(fc.array(sent, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 }),
  { minLength: 1, maxLength: 6 },
);

const toMessage = (prefix: string, { device, at, fields, boot, seq }: Sent) =>
  message(
    {
      device: `${prefix}_${device}`,
      timeUs: T + at * 1000,
      ...(boot === undefined ? {} : { boot }),
      ...(seq === undefined ? {} : { seq }),
    },
    fields,
  );

/** First value wins; a sequence number under a boot id is one message. */
function createModel() {
  const rows = new Map<string, number | null>();
  const seen = new Set<string>();
  return {
    rows,
    take({ device, at, fields, boot, seq }: Sent): "s" | "d" | "q" {
      const keys = Object.entries(fields).map(
        ([field, value]) => [`${device}/${field}/${at}`, value] as const,
      );
      const identity = boot === undefined || seq === undefined ? undefined : `${device}/${boot}/${seq}`;
      const allSame = keys.every(([key, value]) => rows.has(key) && rows.get(key) === value);
      if (identity !== undefined && seen.has(identity)) return allSame ? "d" : "q";
      if (identity !== undefined) seen.add(identity);
      let fresh = 0;
      let differing = 0;
      for (const [key, value] of keys) {
        if (!rows.has(key)) {
          rows.set(key, value);
          fresh++;
        } else if (rows.get(key) !== value) differing++;
      }
      return fresh > 0 ? "s" : differing > 0 ? "q" : "d";
    },
  };
}

const count = (letters: string[], letter: string) => letters.filter((one) => one === letter).length;

async function storedRows(prefix: string): Promise<Map<string, number | null>> {
  const rows = await workers[0]?.db.query<{ key: string; value: number | null }>(
    `SELECT replace(d.device_code, $1 || '_', '') || '/' || s.sensor_code || '/' ||
            ((extract(epoch FROM m.time) * 1e6)::int8 - $2) / 1000 AS key, m.value
       FROM measurement m JOIN iot.sensors s ON s.id = m.sensor_id JOIN iot.devices d ON d.id = s.device_id
      WHERE d.device_code LIKE $1 || '\\_%'`,
    [prefix, T],
  );
  return new Map(rows?.map(({ key, value }) => [key, value]));
}

test("any sequence of batches, delivered any number of times, is what the model says", async () => {
  await fc.assert(
    fc.asyncProperty(batches, fc.array(fc.nat(1)), async (all, again) => {
      const prefix = `m${run++}`;
      const model = createModel();
      for (const [i, batch] of all.entries()) {
        const worker = workers[i % 2];
        const entries = batch.map((messages) => entry(messages.map((one) => toMessage(prefix, one))));
        const expected = batch.map((messages, at) => {
          const letters = messages.map((one) => model.take(one));
          return {
            id: entries[at]?.id,
            stored: count(letters, "s"),
            duplicate: count(letters, "d"),
            quarantined: count(letters, "q"),
          };
        });
        expect(await worker?.store.handle(entries)).toEqual(expected);
        if (again[i] === 1) {
          const redelivered = entries.map((one) => ({ ...one, attempts: 2 }));
          expect(await workers[(i + 1) % 2]?.store.handle(redelivered)).toEqual(expected);
        }
      }
      expect(await storedRows(prefix)).toEqual(model.rows);
    }),
    { numRuns: 60 },
  );
});

test("two workers at once lose nothing, double nothing and account for every message", async () => {
  await fc.assert(
    fc.asyncProperty(batches, async (all) => {
      const prefix = `c${run++}`;
      const deliveries = all.map((batch) =>
        batch.map((messages) => entry(messages.map((one) => toMessage(prefix, one)))),
      );
      const everybody = deliveries.flatMap((entries, i) => [
        workers[i % 2]?.store.handle(entries),
        ...(i % 2 === 0 ? [workers[1]?.store.handle(again(entries))] : []),
      ]);
      const outcomes = (await Promise.all(everybody)).flatMap((one) => one ?? []);
      const byEntry = new Map(outcomes.map((one) => [one.id, one]));
      for (const one of outcomes) expect(one).toEqual(byEntry.get(one.id));

      const rows = await storedRows(prefix);
      const kept = new Set(
        (
          await workers[0]?.db.query<{ message_id: string }>(
            "SELECT message_id FROM quarantine WHERE device LIKE $1 || '\\_%'",
            [prefix],
          )
        )?.map(({ message_id }) => message_id),
      );
      const offered = new Map<string, Set<number | null>>();
      for (const [b, batch] of all.entries()) {
        for (const [e, messages] of batch.entries()) {
          for (const [m, { device, at, fields }] of messages.entries()) {
            for (const [field, value] of Object.entries(fields)) {
              const key = `${device}/${field}/${at}`;
              offered.set(key, (offered.get(key) ?? new Set()).add(value));
              const id = `${deliveries[b]?.[e]?.id}#${m}`;
              expect(rows.get(key) === value || kept.has(id)).toBe(true);
            }
          }
        }
      }
      for (const [key, value] of rows) expect(offered.get(key)?.has(value)).toBe(true);
    }),
    { numRuns: 40 },
  );
});

const again = (entries: Entry[]) => entries.map((one) => ({ ...one, attempts: 2 }));
