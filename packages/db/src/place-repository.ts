import { InvalidInputError, NotFoundError } from "@sluice/shared-types";
import { writeAudit } from "./audit-repository.ts";
import type { Db, Queries } from "./open-db.ts";
import { codeOf } from "./pg-errors.ts";
import { RegistryConflictError } from "./registry-repository.ts";
import type { Actor } from "./user-repository.ts";

/** A kind of place: facilities have zones and rooms, rooms have racks. */
export type PlaceKind = "facility" | "zone" | "room" | "rack";

/** A place: its number, its name, and what places of its kind have besides. */
export type Place = { id: number; name: string } & Record<string, unknown>;

interface Kind {
  table: string;
  /** Names as they are answered, and their columns. */
  columns: Readonly<Record<string, string>>;
  /** Column of the place that it is in. */
  parent: string | undefined;
}

const KINDS: Readonly<Record<PlaceKind, Kind>> = {
  facility: {
    table: "core.facilities",
    columns: { name: "name", location: "location", areaSqm: "area_sqm", timeZone: "timezone" },
    parent: undefined,
  },
  zone: {
    table: "core.zones",
    columns: {
      name: "name",
      facilityId: "facility_id",
      type: "zone_type",
      areaSqm: "area_sqm",
      maxPlantCount: "max_plant_count",
      status: "status",
    },
    parent: "facility_id",
  },
  room: {
    table: "core.rooms",
    columns: {
      name: "name",
      facilityId: "facility_id",
      zoneId: "zone_id",
      targetVpd: "target_vpd",
      targetTemp: "target_temp",
    },
    parent: "facility_id",
  },
  rack: { table: "core.racks", columns: { name: "name", roomId: "room_id" }, parent: "room_id" },
};

const selectOf = ({ table, columns }: Kind) =>
  `SELECT id, ${Object.entries(columns)
    .map(([name, column]) => `${column === "area_sqm" ? "area_sqm::float8" : column} AS "${name}"`)
    .join(", ")} FROM ${table}`;

/** Places of a kind after an id, in one place where named. */
export function listPlaces(
  db: Queries,
  kind: PlaceKind,
  filter: { after?: number | undefined; parent?: number | undefined },
  limit: number,
): Promise<Place[]> {
  const { parent } = KINDS[kind];
  const within = parent === undefined ? "$2::int IS NULL" : `($2::int IS NULL OR ${parent} = $2)`;
  return db.query<Place>(
    `${selectOf(KINDS[kind])} WHERE ($1::int IS NULL OR id > $1) AND ${within} ORDER BY id LIMIT $3`,
    [filter.after ?? null, filter.parent ?? null, limit],
  );
}

/** One place. @throws NotFoundError */
export async function getPlace(db: Queries, kind: PlaceKind, id: number): Promise<Place> {
  const [place] = await db.query<Place>(`${selectOf(KINDS[kind])} WHERE id = $1`, [id]);
  if (!place) throw new NotFoundError(`no ${kind} ${id}`);
  return place;
}

/** Adds a place, with a line in the audit log. @throws RegistryConflictError, NotFoundError where what it is in is not there */
export function createPlace(db: Db, kind: PlaceKind, values: object, actor: Actor): Promise<Place> {
  const { table } = KINDS[kind];
  const given = givenOf(kind, values);
  return changing(kind, () =>
    db.transaction(async (tx) => {
      const [made] = await tx.query<{ id: number }>(
        `INSERT INTO ${table} (${given.map(({ column }) => column).join(", ")})
         VALUES (${given.map((_, i) => `$${i + 1}`).join(", ")}) RETURNING id`,
        given.map(({ value }) => value),
      );
      const place = await getPlace(tx, kind, made?.id ?? 0);
      await note(tx, `${kind}.created`, kind, place.id, actor, values);
      return place;
    }),
  );
}

/** Changes what is given of a place. @throws RegistryConflictError, NotFoundError */
export function updatePlace(
  db: Db,
  kind: PlaceKind,
  id: number,
  values: object,
  actor: Actor,
): Promise<Place> {
  const given = givenOf(kind, values);
  const sets = ["id = id", ...given.map(({ column }, i) => `${column} = $${i + 2}`)];
  return changing(kind, () =>
    db.transaction(async (tx) => {
      await tx.execute(`UPDATE ${KINDS[kind].table} SET ${sets.join(", ")} WHERE id = $1`, [
        id,
        ...given.map(({ value }) => value),
      ]);
      const place = await getPlace(tx, kind, id);
      await note(tx, `${kind}.changed`, kind, id, actor, values);
      return place;
    }),
  );
}

/** Takes a place away; devices that stood in it stand nowhere then. @throws RegistryConflictError, NotFoundError */
export function removePlace(db: Db, kind: PlaceKind, id: number, actor: Actor): Promise<void> {
  return changing(kind, () =>
    db.transaction(async (tx) => {
      const gone = await tx.execute(`DELETE FROM ${KINDS[kind].table} WHERE id = $1`, [id]);
      if (gone === 0) throw new NotFoundError(`no ${kind} ${id}`);
      await note(tx, `${kind}.removed`, kind, id, actor, {});
    }),
  );
}

function givenOf(kind: PlaceKind, values: object): { column: string; value: unknown }[] {
  const { columns } = KINDS[kind];
  return Object.entries(values).flatMap(([name, value]) => {
    const column = columns[name];
    return column === undefined || value === undefined ? [] : [{ column, value }];
  });
}

function note(tx: Queries, event: string, kind: PlaceKind, id: number, actor: Actor, change: object) {
  const data = { ...actor.data, change };
  return writeAudit(tx, { event, entityType: kind, entityId: String(id), ...actor, data });
}

const UNIQUE = "23505";
const FOREIGN_KEY = "23503";

/** Tells a name that is taken, and a place that is referred to, from values that cannot be. */
async function changing<T>(kind: PlaceKind, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = error instanceof InvalidInputError ? codeOf(error.cause) : undefined;
    if (code === UNIQUE)
      throw new RegistryConflictError(`a ${kind} of that name is there already`, { cause: error });
    if (code !== FOREIGN_KEY) throw error;
    const referred = /^update or delete/.test((error as Error).message);
    if (referred) throw new RegistryConflictError(`something still stands in this ${kind}`, { cause: error });
    throw new NotFoundError(`the place that the ${kind} is in is not there`, { cause: error });
  }
}
