import { z } from "zod";

/** What became of a message whose sender asked to be told (`Envelope.notify`): a message on `outcomes`. */
export const Outcome = z.object({
  /** As in the envelope: which gateway, and its own reference. */
  notify: z.string(),
  device: z.string(),
  boot: z.string().optional(),
  seq: z.number().optional(),
  level: z.enum(["stored", "duplicate", "quarantined"]),
  /** Why, where it was quarantined. */
  reason: z.string().optional(),
});
/** See {@link Outcome}. */
export type Outcome = z.infer<typeof Outcome>;

/** Group that lets the outcomes stream be trimmed; every gateway reads the tail for itself. */
export const OUTCOMES_GROUP = "gateway";
