import { writeAudit } from "@sluice/db";
import { CAN_STREAM, type StreamKind, streamKey } from "@sluice/shared-types";
import { z } from "zod";
import type { Deps } from "../deps.ts";
import { actorOf } from "../principal.ts";
import { Refusal } from "../refusal.ts";
import { limit } from "../schemas.ts";
import type { App } from "../server.ts";
import { page } from "./registry.ts";

const KINDS: readonly StreamKind[] = ["telemetry", "rejected", "commands", "outcomes"];
const EntryId = z.string().regex(/^\d{1,20}(-\d{1,20})?$/, "is an entry id");
const Group = z.object({ stream: z.string().max(200), group: z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/) });
const Page = z.strictObject({
  limit: limit(500, 100),
  cursor: EntryId.optional(),
  consumer: z.string().max(200).optional(),
});
const Claim = z.strictObject({ ids: z.array(EntryId).min(1).max(1000) });

/** The streams of the bus: groups, consumers, and what they have in hand. */
export function addStreamRoutes(app: App, { bus, db, config }: Deps): void {
  const partitions = Array.from({ length: config.SLUICE_PARTITIONS }, (_, i) => i);
  const streams = [
    ...KINDS.flatMap((kind) =>
      kind === "telemetry" ? partitions.map((i) => streamKey(kind, i)) : [streamKey(kind)],
    ),
    CAN_STREAM,
  ];
  const pendingOf = (stream: string) => {
    if (!streams.includes(stream)) throw new Refusal(404, `no stream '${stream}'`, { code: "not_found" });
    if (bus.pending === undefined) throw new Refusal(501, "this bus does not tell pending entries apart");
    return bus.pending;
  };
  app.get("/api/v1/streams", { config: { access: "read" } }, async () => ({
    streams: await Promise.all(streams.map((stream) => bus.lag(stream))),
  }));
  app.get(
    "/api/v1/streams/:stream/groups/:group/pending",
    { config: { access: "read" }, schema: { params: Group, querystring: Page } },
    async (request) => {
      const { stream, group } = request.params;
      const { limit: most, cursor, consumer } = request.query;
      const pending = pendingOf(stream);
      await requireGroup(stream, group);
      const entries = await pending.list(stream, group, { count: most + 1, after: cursor, consumer });
      return { stream, group, ...page("entries", entries, most, ({ id }) => id) };
    },
  );
  app.post(
    "/api/v1/streams/:stream/groups/:group/claim",
    { config: { access: "write" }, schema: { params: Group, body: Claim } },
    async (request) => {
      const { stream, group } = request.params;
      const pending = pendingOf(stream);
      await requireGroup(stream, group);
      const claimed = await pending.takeAway(stream, group, request.body.ids);
      const actor = actorOf(request);
      const data = { ...actor.data, stream, group, claimed };
      await writeAudit(db, { event: "stream.claim", entityType: "stream", entityId: stream, ...actor, data });
      return { stream, group, claimed };
    },
  );
  const requireGroup = async (stream: string, group: string) => {
    const { groups } = await bus.lag(stream);
    if (!groups.some((one) => one.group === group))
      throw new Refusal(404, `no group '${group}' on ${stream}`, { code: "not_found" });
  };
}
