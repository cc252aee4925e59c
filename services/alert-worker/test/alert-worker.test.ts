import { randomUUID } from "node:crypto";
import { beforeAll, expect, test } from "@jest/globals";
import type { Entry } from "@sluice/bus";
import {
  type AlertFilter,
  acknowledgeAlert,
  createDevice,
  deleteAlertRule,
  dropLease,
  endAlert,
  listAlerts,
  listCommands,
  putAlertRule,
  putQualityThreshold,
  takeLease,
} from "@sluice/db";
import { createMetrics } from "@sluice/service-kit";
import { GROUPS } from "@sluice/shared-types";
import { waitFor } from "@sluice/testkit";
import { createJudge } from "../src/judge-batch.ts";
import { createAlertMetrics } from "../src/metrics.ts";
import { createRuleBook } from "../src/rule-book.ts";
import { MINUTE_US, TELEMETRY, useWorker } from "./use-worker.ts";

const it = useWorker();
let stop: () => Promise<void>;
beforeAll(() => {
  stop = it.start();
});

const alerts = async (filter: AlertFilter) => (await listAlerts(it.db, filter, 100)).reverse();
const warm = (...values: number[]) =>
  values.map((temperature, i) => ({ fields: { temperature }, minutesAgo: values.length - 1 - i }));
async function newDevice(id: string): Promise<string> {
  await createDevice(it.db, "pepper-of-the-tests", { id });
  return id;
}

test("a limit passed for long enough raises one alert, which ends when the condition is over", async () => {
  const device = await newDevice("oven");
  const rule = await it.rule({ device, durationMinutes: 2, hysteresis: 2 });
  await it.send(device, ...warm(20, 31, 32, 33, 34));
  await it.judged();
  const [alert, ...others] = await alerts({ ruleId: rule.id });
  expect(others).toEqual([]);
  expect(alert).toMatchObject({
    device,
    sensor: "temperature",
    severity: "critical",
    status: "open",
    value: 33,
  });
  expect(alert?.title).toBe("too warm: temperature of oven is above 30");
  await it.send(device, { fields: { temperature: 29 } });
  await it.judged();
  expect(await alerts({ ruleId: rule.id })).toMatchObject([{ status: "open" }]);
  await it.send(device, { fields: { temperature: 27 } });
  await it.judged();
  expect(await alerts({ ruleId: rule.id })).toMatchObject([
    { status: "resolved", notes: "the condition is over" },
  ]);
});

test("late, imported, replayed and long past readings raise nothing, corrections neither", async () => {
  const device = await newDevice("calm");
  const rule = await it.rule({ device });
  const hot = { fields: { temperature: 99 } };
  await it.send(device, { fields: { temperature: 20 } });
  await it.send(device, { ...hot, minutesAgo: 3 });
  await it.send(
    device,
    { ...hot, source: "import", minutesAgo: -1 },
    { ...hot, source: "replay", minutesAgo: -2 },
  );
  await it.send(device, { ...hot, correction: true, minutesAgo: -3 });
  await it.send(
    await newDevice("buffering"),
    { ...hot, minutesAgo: 120 },
    { fields: { temperature: 20 }, minutesAgo: 90 },
  );
  await it.judged();
  expect(await alerts({ ruleId: rule.id })).toEqual([]);
  expect(await alerts({ device: "buffering" })).toEqual([]);
});

test("what a device had to keep back counts towards the duration once it is current", async () => {
  const device = await newDevice("tunnel");
  const rule = await it.rule({ device, durationMinutes: 60 });
  await it.send(device, ...[120, 90, 40].map((minutesAgo) => ({ fields: { temperature: 40 }, minutesAgo })));
  await it.judged();
  expect(await alerts({ ruleId: rule.id })).toEqual([]);
  await it.send(device, { fields: { temperature: 41 } });
  await it.judged();
  expect(await alerts({ ruleId: rule.id })).toMatchObject([{ status: "open", value: 41 }]);
});

test("a device whose clock runs ahead is watched without a blind spot", async () => {
  const device = await newDevice("hasty");
  const rule = await it.rule({ device });
  await it.send(device, { fields: { temperature: 20 }, minutesAgo: -50 });
  await it.send(device, { fields: { temperature: 35 } });
  await it.judged();
  expect(await alerts({ ruleId: rule.id })).toMatchObject([{ status: "open" }]);
});

test("within the margin it warns first, and the same alert becomes worse beyond the limit", async () => {
  const device = await newDevice("creeping");
  const rule = await it.rule({
    device,
    warningMargin: 3,
    command: { type: "fan_on", payload: { speed: 3 } },
  });
  await it.send(device, { fields: { temperature: 28 } });
  await it.judged();
  expect(await alerts({ ruleId: rule.id })).toMatchObject([
    { severity: "warning", preventive: true, status: "open" },
  ]);
  expect(await listCommands(it.db, { device }, 10)).toEqual([]);
  await it.send(device, { fields: { temperature: 31 } });
  await it.judged();
  expect(await alerts({ ruleId: rule.id })).toMatchObject([
    { severity: "critical", preventive: false, value: 31 },
  ]);
  expect(await listCommands(it.db, { device }, 10)).toMatchObject([
    { type: "fan_on", payload: { speed: 3 }, source: "alert", status: "pending" },
  ]);
});

test("calibration counts, and a sensor type stands for its sensors", async () => {
  const device = await newDevice("tank");
  const rule = await it.rule({
    device,
    sensorType: "PH_SENSOR",
    condition: "out_of_range",
    min: 5.5,
    max: 6.5,
  });
  await it.send(device, { fields: { acidity: 6 } });
  await it.judged();
  await it.db.execute(
    `UPDATE iot.sensors SET calibration_offset = 1, sensor_type_id = (SELECT id FROM iot.sensor_types WHERE name = 'PH_SENSOR')
      WHERE sensor_code = 'acidity'`,
  );
  await waitFor(
    async () => {
      await it.send(device, { fields: { acidity: 6 } });
      await it.judged();
      return (await alerts({ ruleId: rule.id })).length > 0;
    },
    { timeoutMs: 20_000, intervalMs: 500, what: "the change to be seen" },
  );
  expect(await alerts({ ruleId: rule.id })).toMatchObject([{ value: 7, threshold: 6.5, sensor: "acidity" }]);
});

test("entries handled again raise no second alert, even where their receipt is gone", async () => {
  const device = await newDevice("echo");
  const rule = await it.rule({ device });
  await it.send(device, ...warm(20, 31, 20, 31));
  await it.judged();
  const raised = await alerts({ ruleId: rule.id });
  expect(raised.map(({ status }) => status)).toEqual(["resolved", "open"]);
  const entries = await it.bus.browse(TELEMETRY, { from: "-", count: 1, reverse: true });
  await stop();
  const id = randomUUID();
  await takeLease(it.db, { runId: id, job: "#alerts", fromMs: 0, toMs: 1, holder: id, ttlMs: 60_000 });
  const judge = createJudge({
    db: it.db,
    book: createRuleBook(it.db, { autoRegister: true, sensorBudget: 256 }),
    term: { id, signal: new AbortController().signal, lose() {} },
    stream: TELEMETRY,
    maxAgeMs: 900_000,
    metrics: createAlertMetrics(createMetrics("test")),
    onDone() {},
    acknowledged: () => [],
    forget() {},
  });
  const once = await judge.handle(entries);
  expect(await judge.handle(entries)).toEqual(once);
  await it.db.execute("DELETE FROM public.ledger_receipt");
  expect(await judge.handle(entries)).toEqual(once);
  expect(await alerts({ ruleId: rule.id })).toEqual(raised);
  await dropLease(it.db, id);
  await expect(judge.handle([{ ...(entries[0] as Entry), id: "0-1" }])).rejects.toThrow("another process");
  stop = it.start();
});

test("an alert ended by hand comes again only after the condition was over", async () => {
  const device = await newDevice("stubborn");
  const rule = await it.rule({ device });
  await it.send(device, { fields: { temperature: 31 } });
  await it.judged();
  const [alert] = await alerts({ ruleId: rule.id });
  expect(await endAlert(it.db, alert?.id ?? 0, "dismissed", "known")).toBe(true);
  await it.send(device, { fields: { temperature: 32 } });
  await it.judged();
  expect(await alerts({ ruleId: rule.id })).toMatchObject([{ status: "dismissed", notes: "known" }]);
  await it.send(device, { fields: { temperature: 20 } });
  await it.send(device, { fields: { temperature: 33 } });
  await it.judged();
  expect(await alerts({ ruleId: rule.id })).toMatchObject([
    { status: "dismissed" },
    { status: "open", value: 33 },
  ]);
});

test("alerts end with the rule that raised them", async () => {
  const device = await newDevice("ruled");
  const rule = await it.rule({ device });
  await it.send(device, { fields: { temperature: 31 } });
  await it.judged();
  await putAlertRule(it.db, { ...rule, threshold: 30.5 }, rule.id);
  expect(await alerts({ ruleId: rule.id })).toMatchObject([
    { status: "resolved", notes: "the rule was changed" },
  ]);
  await deleteAlertRule(it.db, rule.id);
  expect(await alerts({ device })).toMatchObject([{ ruleId: null, rule: null }]);
});

test("what nobody acknowledges escalates step by step; what is acknowledged does not", async () => {
  const device = await newDevice("ignored");
  const escalation = [
    { afterMinutes: 0, severity: "critical" as const },
    { afterMinutes: 600, severity: "emergency" as const },
  ];
  const change = { device, severity: "warning" as const, escalation };
  const calm = await it.rule({ ...change, name: "calm", sensorType: "co2", escalation: [] });
  await it.send(device, { fields: { co2: 31 } });
  await it.judged();
  await it.db.execute("UPDATE alert.alerts SET created_at = now() - INTERVAL '11 hours'");
  const [ignored, cared] = [
    await it.rule(change),
    await it.rule({ ...change, name: "cared for", sensorType: "ph" }),
  ];
  await it.send(device, { fields: { temperature: 31 } });
  await waitFor(async () => (await alerts({ ruleId: ignored.id }))[0]?.severity === "critical", {
    timeoutMs: 20_000,
  });
  await it.db.execute("UPDATE alert.alerts SET created_at = now() - INTERVAL '11 hours' WHERE rule_id = $1", [
    ignored.id,
  ]);
  await waitFor(async () => (await alerts({ ruleId: ignored.id }))[0]?.escalationLevel === 2, {
    timeoutMs: 20_000,
  });
  expect(await alerts({ ruleId: ignored.id })).toMatchObject([{ severity: "emergency", status: "open" }]);
  await it.db.execute("UPDATE alert.escalations SET after_minutes = 30 WHERE rule_id = $1", [cared.id]);
  await it.send(device, { fields: { ph: 99 } });
  await it.judged();
  const [alert] = await alerts({ ruleId: cared.id });
  expect(await acknowledgeAlert(it.db, alert?.id ?? 0, { name: "ada" })).toBe(true);
  expect(await alerts({ ruleId: calm.id })).toMatchObject([{ severity: "warning", escalationLevel: 0 }]);
  await it.db.execute("UPDATE alert.alerts SET created_at = now() - INTERVAL '11 hours' WHERE id = $1", [
    alert?.id,
  ]);
  await it.send(device, { fields: { ph: 98 } });
  await it.judged();
  expect(await alerts({ ruleId: cared.id })).toMatchObject([
    { severity: "warning", escalationLevel: 0, status: "acknowledged", acknowledgedBy: "ada" },
  ]);
});

test("a device that falls silent, or says that it goes, is offline until it is heard again", async () => {
  const [silent, polite] = [await newDevice("silent"), await newDevice("polite")];
  const change = { sensorType: null, condition: "device_offline" as const, threshold: null };
  const rule = await it.rule({ ...change, device: silent, durationMinutes: 60 });
  const going = await it.rule({ ...change, device: polite, name: "gone" });
  await it.send(silent, { fields: { x: 1 } });
  await it.send(polite, { fields: { x: 1 } });
  await it.send(polite, { fields: { status: "offline" }, kind: "status", type: "offline" });
  await waitFor(async () => (await alerts({ ruleId: going.id })).length === 1, { timeoutMs: 20_000 });
  expect(await alerts({ ruleId: rule.id })).toEqual([]);
  await it.db.execute("UPDATE alert.listening SET since = now() - INTERVAL '1 day'");
  await it.db.execute(
    "UPDATE alert.device_seen s SET seen_at = now() - INTERVAL '61 min' FROM iot.devices d WHERE d.id = s.device_id AND d.device_code = $1",
    [silent],
  );
  await waitFor(async () => (await alerts({ ruleId: rule.id })).length === 1, { timeoutMs: 20_000 });
  await it.send(silent, { fields: { x: 2 } });
  await it.send(polite, { fields: { x: 2 } });
  await it.judged();
  for (const { id } of [rule, going]) {
    expect(await alerts({ ruleId: id })).toMatchObject([
      { status: "resolved", notes: "the device is heard again" },
    ]);
  }
});

test("a reading is flagged once it is doubtful, and a late one closes the gap it fills", async () => {
  const device = await newDevice("doubtful");
  await putQualityThreshold(it.db, {
    ...{
      sensorType: "level",
      min: 0,
      max: 100,
      spike: 10,
      ratePerMinute: 30,
      flatCount: 3,
      flatMinutes: 2,
      gapSeconds: 300,
    },
  });
  const at = Math.floor(Date.now() / 1000) * 1e6 - 200 * MINUTE_US;
  const level = (minute: number, value: number) => ({
    fields: { level: value },
    timesUs: [at + minute * MINUTE_US],
  });
  const flags = async () =>
    (
      await it.db.query<{ minute: number; flags: string[] }>(
        `SELECT round(extract(epoch FROM q.time - to_timestamp($2 / 1e6::float8)) / 60)::int AS minute, q.flags
           FROM public.quality_flag q JOIN iot.sensors s ON s.id = q.sensor_id JOIN iot.devices d ON d.id = s.device_id
          WHERE d.device_code = $1 ORDER BY q.time`,
        [device, at],
      )
    ).map(({ minute, flags }) => `${minute} ${flags.join(" ")}`);
  await it.send(
    device,
    level(0, 50),
    level(1, 51),
    level(2, 75),
    level(3, 50),
    level(4, 50),
    level(5, 50),
    level(20, 120),
  );
  await it.judged();
  expect(await flags()).toEqual(["2 spike", "5 flat_line", "20 gap range"]);
  await it.send(device, level(17, 60), level(18, 150));
  await it.judged();
  expect(await flags()).toEqual(["2 spike", "5 flat_line", "18 range rate", "20 range"]);
  await it.send(device, { ...level(20, 99), correction: true });
  await it.judged();
  expect(await flags()).toEqual(["2 spike", "5 flat_line", "18 range rate"]);
});

test("the ledger counts every message once for this group, unreadable ones as quarantined", async () => {
  await it.bus.publish(TELEMETRY, ["{not json"]);
  await it.judged();
  const ledger = (await it.bus.ledger(TELEMETRY)).find(({ group }) => group === GROUPS.alerts);
  expect(ledger).toMatchObject({ balanced: true, quarantined: 1, pending: 0, unread: 0, duplicate: 0 });
});
