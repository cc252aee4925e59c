import { DeviceId, streamKey } from "@sluice/shared-types";
import { type TraceQuery, traceMessage } from "@sluice/trace";
import { z } from "zod";
import type { Deps } from "../deps.ts";
import { requireDevice } from "../device-access.ts";
import { principalOf } from "../principal.ts";
import { Refusal } from "../refusal.ts";
import { Instant, limit } from "../schemas.ts";
import type { App } from "../server.ts";

const MINUTE_MS = 60_000;
const Query = z
  .strictObject({
    device: DeviceId.optional(),
    seq: z
      .string()
      .regex(/^\d{1,15}$/, "is a whole number")
      .transform(Number)
      .optional(),
    boot: z.string().max(64).optional(),
    at: Instant.optional(),
    /** Milliseconds around `at`. */
    within: limit(60 * MINUTE_MS, 5000),
    message: z
      .string()
      .regex(/^\d{1,20}-\d{1,20}#\d{1,6}$/, "is <entry>#<index>")
      .optional(),
  })
  .superRefine(({ device, seq, at, message }, context) => {
    if (message !== undefined || (device !== undefined && (seq !== undefined || at !== undefined))) return;
    const why = "say which: device with seq or at, or message";
    context.addIssue({ code: "custom", path: ["device"], message: why });
  });

/** Where a message is, hop by hop. */
export function addTraceRoutes(app: App, { bus, db, influx, config }: Deps): void {
  const streams = Array.from({ length: config.SLUICE_PARTITIONS }, (_, i) => streamKey("telemetry", i));
  app.get(
    "/api/v1/trace",
    { config: { access: "device" }, schema: { querystring: Query } },
    async (request) => {
      const query = toQuery(request.query);
      if (query.by !== "message") requireDevice(request, query.device);
      else if (principalOf(request).devices !== null)
        throw new Refusal(403, "this key is limited to its devices: ask by device", {
          code: "not_authorised",
        });
      return traceMessage({ bus, db, influx, streams }, query);
    },
  );
}

function toQuery({ device = "", seq, boot, at, within, message }: z.output<typeof Query>): TraceQuery {
  if (message !== undefined) {
    const [entryId = "", index] = message.split("#");
    return { by: "message", entryId, index: Number(index) };
  }
  if (seq !== undefined) return { by: "seq", device, seq, ...(boot === undefined ? {} : { boot }) };
  return { by: "time", device, atMs: (at ?? 0) / 1000, withinMs: within };
}
