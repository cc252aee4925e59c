import { z } from "zod";

/** What webhooks and `{root}/system/alerts` say of an alert. */
export const AlertNews = z.object({
  /** The same for the same news told again. */
  key: z.string(),
  event: z.enum(["raised", "escalated", "resolved"]),
  /** Number of the alert. */
  alert: z.number(),
  rule: z.string().nullable(),
  device: z.string().nullable(),
  sensor: z.string().nullable(),
  severity: z.enum(["info", "warning", "critical", "emergency"]),
  /** Raised within the warning margin, before the limit was passed. */
  preventive: z.boolean(),
  status: z.enum(["open", "acknowledged", "resolved", "dismissed"]),
  title: z.string(),
  message: z.string(),
  value: z.number().nullable(),
  threshold: z.number().nullable(),
  escalationLevel: z.number(),
  triggeredAt: z.string(),
  resolvedAt: z.string().nullable(),
});
/** See {@link AlertNews}. */
export type AlertNews = z.infer<typeof AlertNews>;
