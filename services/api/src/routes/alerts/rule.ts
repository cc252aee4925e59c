import { CONDITIONS, SEVERITIES } from "@sluice/db";
import { DeviceId } from "@sluice/shared-types";
import { z } from "zod";
import { FieldName } from "../../schemas.ts";

/** How bad an alert is. */
export const Severity = z.enum(SEVERITIES);
/** A length of time of at most a year. */
export const Minutes = z.number().min(0).max(525_600).default(0);
const Limit = z.number().min(-1e10).max(1e10).nullable().default(null);

/** Its fields, each for itself. */
export const RuleFields = z.strictObject({
  name: z.string().trim().min(1).max(255),
  sensorType: FieldName.nullable().default(null),
  device: DeviceId.nullable().default(null),
  condition: z.enum(CONDITIONS),
  threshold: Limit,
  min: Limit,
  max: Limit,
  warningMargin: z.number().min(0).max(99_999).default(0),
  hysteresis: z.number().min(0).max(99_999).default(0),
  durationMinutes: Minutes,
  rateWindowMinutes: Minutes,
  severity: Severity.default("warning"),
  command: z
    .strictObject({
      type: z
        .string()
        .regex(/^[A-Za-z0-9.-][A-Za-z0-9_.-]{0,63}$/, "is 1-64 letters, digits, '_', '-' or '.'"),
      payload: z.record(z.string().max(128), z.unknown()).default({}),
    })
    .nullable()
    .default(null),
  channels: z.array(z.string().max(100)).max(50).nullable().default(null),
  escalation: z
    .array(z.strictObject({ afterMinutes: Minutes, severity: Severity }))
    .max(10)
    .nullable()
    .default(null),
  active: z.boolean().default(true),
});
/** What is wrong with a rule as a whole. */
const checkRule = (rule: z.output<typeof RuleFields>, context: z.RefinementCtx) => {
  const wrong = (path: string, message: string) =>
    context.addIssue({ code: "custom", path: [path], message });
  if (rule.condition === "device_offline") return;
  if (rule.sensorType === null) wrong("sensorType", "is the name of a sensor or of a sensor type");
  if (rule.condition !== "out_of_range") {
    if (rule.threshold === null) wrong("threshold", "is needed for this condition");
  } else if (rule.min === null || rule.max === null || rule.min >= rule.max) {
    wrong("min", "is below max; both are needed for this condition");
  }
};
/** A rule as it is sent. */
export const Rule = RuleFields.superRefine(checkRule);
