import { deleteChannel, listChannels, putChannel, renewChannelSecret } from "@sluice/db";
import { z } from "zod";
import type { Deps } from "../../deps.ts";
import type { App } from "../../server.ts";
import { noteChange } from "./note-change.ts";
import { Severity } from "./rule.ts";

/** Who is told of alerts. */
export function addChannelRoutes(app: App, { db }: Deps): void {
  const Channel = z
    .strictObject({
      kind: z.enum(["email", "webhook", "mqtt"]),
      target: z.string().max(2000).default(""),
      minSeverity: Severity.default("info"),
      active: z.boolean().default(true),
    })
    .superRefine(({ kind, target }, context) => {
      const wrong = (message: string) => context.addIssue({ code: "custom", path: ["target"], message });
      const protocol = URL.canParse(target) ? new URL(target).protocol : "";
      if (kind === "webhook" && protocol !== "http:" && protocol !== "https:")
        wrong("is a URL, http:// or https://");
      const addresses = target.split(",").every((one) => z.email().safeParse(one.trim()).success);
      if (kind === "email" && !addresses) wrong("is one or more e-mail addresses, separated by commas");
      if (kind === "mqtt" && target !== "") wrong("is empty: MQTT goes to system/alerts");
    });
  const Name = z.object({ name: z.string().regex(/^[A-Za-z0-9_.-]{1,100}$/) });
  app.get("/api/v1/alerts/channels", { config: { access: "admin" } }, async () => ({
    channels: await listChannels(db),
  }));
  app.put(
    "/api/v1/alerts/channels/:name",
    { config: { access: "admin" }, schema: { params: Name, body: Channel } },
    async (request) => {
      const channel = await putChannel(db, { name: request.params.name, ...request.body });
      await noteChange({ db }, request, "channel.changed", channel.name, { kind: channel.kind });
      return channel;
    },
  );
  app.post(
    "/api/v1/alerts/channels/:name/secret",
    { config: { access: "admin" }, schema: { params: Name } },
    async (request, reply) => {
      const { name } = request.params;
      const secret = await renewChannelSecret(db, name);
      await noteChange({ db }, request, "channel.secret-renewed", name);
      return reply.code(201).send({ name, secret });
    },
  );
  app.delete(
    "/api/v1/alerts/channels/:name",
    { config: { access: "admin" }, schema: { params: Name } },
    async (request, reply) => {
      await deleteChannel(db, request.params.name);
      await noteChange({ db }, request, "channel.deleted", request.params.name);
      return reply.code(204).send();
    },
  );
}
