import { createPlace, getPlace, listPlaces, type PlaceKind, removePlace, updatePlace } from "@sluice/db";
import { z } from "zod";
import type { Deps } from "../deps.ts";
import { actorOf } from "../principal.ts";
import { limit, RowId, RowParams, TimeZone } from "../schemas.ts";
import type { App } from "../server.ts";
import { page } from "./registry.ts";

const Name = z.string().min(1).max(255);
const Id = z.int().min(1).max(2_147_483_647);
const area = z.number().positive().max(999_999).nullable().optional();
const Page = z.strictObject({ limit: limit(1000, 100), cursor: RowId.optional(), in: RowId.optional() });

/** What each kind of place is made of; whatever has no default may be left out when it is changed. */
const KINDS: readonly { kind: PlaceKind; path: string; body: z.ZodObject }[] = [
  {
    kind: "facility",
    path: "facilities",
    body: z.strictObject({
      name: Name,
      location: z.string().max(255).nullable().optional(),
      areaSqm: area,
      timeZone: TimeZone.optional(),
    }),
  },
  {
    kind: "zone",
    path: "zones",
    body: z.strictObject({
      name: Name,
      facilityId: Id.optional(),
      type: z.string().max(50).nullable().optional(),
      areaSqm: area,
      maxPlantCount: z.int().min(1).max(10_000_000).nullable().optional(),
      status: z.enum(["active", "inactive", "maintenance"]).optional(),
    }),
  },
  {
    kind: "room",
    path: "rooms",
    body: z.strictObject({
      name: Name,
      facilityId: Id.optional(),
      zoneId: Id.nullable().optional(),
      targetVpd: z.number().nullable().optional(),
      targetTemp: z.number().nullable().optional(),
    }),
  },
  { kind: "rack", path: "racks", body: z.strictObject({ name: Name, roomId: Id }) },
];

/** Facilities, zones, rooms and racks; `in` names the facility or room whose places are asked for. */
export function addPlaceRoutes(app: App, { db }: Deps): void {
  for (const { kind, path, body } of KINDS) {
    const all = `/api/v1/${path}`;
    const one = `${all}/:id`;
    const params = RowParams;
    const read = { access: "read", seldom: true } as const;
    const write = { access: "write" as const };
    app.get(all, { config: read, schema: { querystring: Page } }, async (request) => {
      const { limit: most, cursor, in: parent } = request.query;
      return page(
        path,
        await listPlaces(db, kind, { after: cursor, parent }, most + 1),
        most,
        ({ id }) => id,
      );
    });
    app.get(one, { config: read, schema: { params } }, async (request) =>
      getPlace(db, kind, request.params.id),
    );
    app.post(all, { config: write, schema: { body } }, async (request, reply) =>
      reply.code(201).send(await createPlace(db, kind, request.body as object, actorOf(request))),
    );
    app.patch(one, { config: write, schema: { params, body: body.partial() } }, async (request) =>
      updatePlace(db, kind, request.params.id, request.body as object, actorOf(request)),
    );
    app.delete(one, { config: { access: "admin" }, schema: { params } }, async (request, reply) => {
      await removePlace(db, kind, request.params.id, actorOf(request));
      return reply.code(204).send();
    });
  }
}
