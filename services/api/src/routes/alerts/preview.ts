import { previewRule, type SensorCondition, type SensorRule } from "@sluice/analytics";
import { findSilences, type RuleInput, readPast } from "@sluice/db";
import { z } from "zod";
import type { Deps } from "../../deps.ts";
import { Refusal } from "../../refusal.ts";
import { Instant, iso, rangeOf } from "../../schemas.ts";
import type { App } from "../../server.ts";
import { requireAll } from "./note-change.ts";
import { Rule } from "./rule.ts";

const DAY_MS = 86_400_000;
const PREVIEW_SENSORS = 20;
const PREVIEW_READINGS = 100_000;
const PREVIEW_EPISODES = 1000;
const SILENT_MINUTES = 5;

/** What a rule would have raised on past data. Nothing is made. */
export function addPreviewRoute(app: App, { db }: Deps): void {
  const Preview = z.strictObject({ rule: Rule, from: Instant.optional(), to: Instant.optional() });
  app.post(
    "/api/v1/alerts/preview",
    { config: { access: "read" }, schema: { body: Preview } },
    async (request) => {
      requireAll(request);
      const { rule, ...asked } = request.body;
      const range = rangeOf(asked, 7 * DAY_MS);
      if (!range) throw new Refusal(400, "from: is before to", { code: "invalid" });
      const stretch = { from: new Date(range.fromUs / 1000), to: new Date(range.toUs / 1000) };
      const head = { from: iso(range.fromUs), to: iso(range.toUs) };
      if (rule.condition === "device_offline") {
        const minutes = rule.durationMinutes || SILENT_MINUTES;
        const silences = await findSilences(db, rule.device, stretch, { minutes, limit: PREVIEW_EPISODES });
        const alerts = silences.map(({ device, from, to }) => ({
          ...{ device, sensor: null, since: from, end: to, preventive: false, peak: null },
          raised: new Date(from.getTime() + minutes * 60_000),
        }));
        return { ...head, sensors: null, readings: null, cut: silences.length === PREVIEW_EPISODES, alerts };
      }
      const limits = { maxSensors: PREVIEW_SENSORS, maxReadings: PREVIEW_READINGS };
      const past = await readPast(db, rule, stretch, limits);
      const alerts = past.flatMap(({ device, sensor, readings }) =>
        previewRule(toSensorRule(rule, rule.condition as SensorCondition), readings).map((episode) => ({
          ...{ device, sensor, since: iso(episode.sinceUs), raised: iso(episode.raisedUs) },
          end: episode.endUs === null ? null : iso(episode.endUs),
          preventive: episode.level === 1,
          peak: episode.peak,
        })),
      );
      return {
        ...head,
        sensors: past.length,
        readings: past.reduce((sum, { readings }) => sum + readings.length, 0),
        cut:
          past.length === PREVIEW_SENSORS || past.some(({ cut }) => cut) || alerts.length > PREVIEW_EPISODES,
        alerts: alerts.slice(0, PREVIEW_EPISODES),
      };
    },
  );
}

const toSensorRule = (rule: RuleInput, condition: SensorCondition): SensorRule => ({
  ...rule,
  condition,
  durationUs: rule.durationMinutes * 60e6,
  rateWindowUs: rule.rateWindowMinutes * 60e6,
});
