import { afterAll, beforeAll } from "@jest/globals";
import { type Bus, openBus } from "@sluice/bus";
import { type AlertRule, type Db, openDb, putAlertRule, type RuleInput } from "@sluice/db";
import { createMetrics, loadConfig } from "@sluice/service-kit";
import { type Envelope, encodeMessage, GROUPS, streamKey } from "@sluice/shared-types";
import { usePostgres, useRedis, waitFor } from "@sluice/testkit";
import { Config } from "../src/config.ts";
import { deliver } from "../src/deliver.ts";
import { lead } from "../src/lead.ts";
import { createAlertMetrics } from "../src/metrics.ts";
import { createSenders } from "../src/senders.ts";
import { watch } from "../src/watch.ts";

export const TELEMETRY = streamKey("telemetry");
export const MINUTE_US = 60_000_000;
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/** A message of a device: its fields, minutes before now, and what else is to be said of it. */
export interface Said extends Partial<Envelope> {
  fields: object;
  minutesAgo?: number;
}

/** Real servers and a worker over them. */
export interface TestWorker {
  db: Db;
  bus: Bus;
  env: Record<string, string>;
  /** Starts a worker in this process; the answer stops it. */
  start(env?: Record<string, string>): () => Promise<void>;
  /** Puts messages onto the bus, as the gateway does. */
  send(device: string, ...messages: Said[]): Promise<void>;
  /** Resolves once every message is judged. */
  judged(): Promise<void>;
  rule(change: Partial<RuleInput>): Promise<AlertRule>;
}

/** What a rule is unless a test says otherwise. */
const RULE: RuleInput = {
  name: "too warm",
  sensorType: "temperature",
  device: null,
  condition: "above",
  threshold: 30,
  min: null,
  max: null,
  warningMargin: 0,
  hysteresis: 0,
  durationMinutes: 0,
  rateWindowMinutes: 0,
  severity: "critical",
  command: null,
  channels: [],
  escalation: null,
  active: true,
};

/** Starts servers for the test file; the worker is started by the tests. */
export function useWorker(): TestWorker {
  const it = {} as TestWorker;
  const stops: (() => Promise<void>)[] = [];
  let failure: { error: unknown } | undefined;
  afterAll(async () => {
    for (const stop of stops) await stop();
    await it.bus?.close();
    await it.db?.close();
  });
  const redis = useRedis();
  const postgres = usePostgres();
  beforeAll(async () => {
    it.db = await openDb(postgres.url, { max: 6 });
    it.bus = await openBus(redis.url);
    it.env = { REDIS_URL: redis.url, DATABASE_URL: postgres.url };
    await it.bus.ensureGroup(TELEMETRY, GROUPS.alerts);
  });
  it.start = (env = {}) => {
    const config = loadConfig(Config, { ...it.env, ...env });
    const metrics = createAlertMetrics(createMetrics("alert-worker"));
    const stop = new AbortController();
    const running = Promise.all([
      lead(it.db, { signal: stop.signal, log: SILENT }, (term) =>
        watch({ db: it.db, bus: it.bus, config, log: SILENT, metrics }, term),
      ),
      deliver(it.db, createSenders(config, it.bus), { signal: stop.signal, log: SILENT, metrics }),
    ]);
    running.catch((error: unknown) => {
      failure = { error };
    });
    const end = async () => {
      stop.abort();
      await running;
    };
    stops.push(end);
    return end;
  };
  let nowUs = 0;
  it.send = async (device, ...messages) => {
    // A second reading of the same instant would be no news.
    nowUs = Math.max(Date.now() * 1000, nowUs + 1);
    await it.bus.publish(
      TELEMETRY,
      messages.map(({ fields, minutesAgo = 0, ...envelope }) => {
        const timeUs = nowUs - minutesAgo * MINUTE_US;
        return encodeMessage(
          {
            ...{ device, kind: "telemetry", type: "telemetry", source: "mqtt" },
            ...{ receivedUs: nowUs, timesUs: [timeUs], clock: "device" },
            ...envelope,
          },
          JSON.stringify(fields),
        );
      }),
    );
  };
  it.judged = async () => {
    await waitFor(
      async () => {
        const { groups } = await it.bus.lag(TELEMETRY);
        const lag = groups.find(({ group }) => group === GROUPS.alerts);
        return failure !== undefined || (lag && lag.unread + lag.pending === 0);
      },
      { timeoutMs: 60_000, what: "every message to be judged" },
    );
    if (failure) throw failure.error;
  };
  it.rule = (change) => putAlertRule(it.db, { ...RULE, ...change });
  return it;
}
