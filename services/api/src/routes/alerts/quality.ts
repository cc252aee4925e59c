import { listQualityThresholds, putQualityThreshold } from "@sluice/db";
import { z } from "zod";
import type { Deps } from "../../deps.ts";
import { FieldName } from "../../schemas.ts";
import type { App } from "../../server.ts";
import { noteChange, requireAll } from "./note-change.ts";
import { Minutes } from "./rule.ts";

/** From where on readings are doubtful. */
export function addQualityRoutes(app: App, { db }: Deps): void {
  const Bound = z.number().nullable().default(null);
  const Positive = z.number().positive().nullable().default(null);
  const Limits = z
    .strictObject({
      min: Bound,
      max: Bound,
      spike: Positive,
      ratePerMinute: Positive,
      flatCount: z.int().min(2).max(1_000_000).nullable().default(null),
      flatMinutes: Minutes,
      gapSeconds: Positive,
    })
    .refine(({ min, max }) => min === null || max === null || min < max, {
      path: ["min"],
      message: "is below max",
    });
  const Type = z.object({ type: FieldName });
  app.get("/api/v1/quality/thresholds", { config: { access: "read" } }, async () => ({
    thresholds: await listQualityThresholds(db),
  }));
  app.put(
    "/api/v1/quality/thresholds/:type",
    { config: { access: "write" }, schema: { params: Type, body: Limits } },
    async (request) => {
      requireAll(request);
      const limits = { sensorType: request.params.type, ...request.body };
      await putQualityThreshold(db, limits);
      await noteChange({ db }, request, "quality.changed", request.params.type, request.body);
      return limits;
    },
  );
}
