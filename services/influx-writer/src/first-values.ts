import type { FieldValue, Point } from "@sluice/influx";

/** A field that already has another value at its instant. */
export interface ValueConflict {
  field: string;
  first: FieldValue;
  second: FieldValue;
}

/**
 * InfluxDB keeps the last value of a field at an instant and says nothing; the promise is that the first one wins
 * and that nobody's value is lost unnoticed. PostgreSQL, the authority, holds to that for ever. Here it holds for
 * the points that this process wrote lately: a differing second value is not written; it is in quarantine, where
 * PostgreSQL's worker puts it. Beyond that memory, or between two writers, the last value stands in InfluxDB until
 * reconciliation compares it with PostgreSQL and mends it. Writing the same value again changes nothing.
 */
export interface FirstValues {
  /** The point without the fields that would overwrite, undefined where nothing is left; and those fields. */
  admit(point: Point): { point?: Point; conflicts: ValueConflict[] };
  /** Takes the point's values as the valid ones: an explicit correction. */
  replace(point: Point): void;
  /** Points were deleted: what was first is not known any more. */
  forget(): void;
}

/** Creates a memory of the last `capacity` to twice `capacity` points. */
export function createFirstValues(capacity: number): FirstValues {
  let young = new Map<string, Readonly<Record<string, FieldValue>>>();
  let old = young;

  function keep(key: string, fields: Readonly<Record<string, FieldValue>>): void {
    if (young.size >= capacity) {
      old = young;
      young = new Map();
    }
    young.set(key, fields);
  }

  return {
    admit(point) {
      const key = keyOf(point);
      const known = young.get(key) ?? old.get(key);
      if (!known) {
        keep(key, point.fields);
        return { point, conflicts: [] };
      }
      const conflicts = findConflicts(known, point.fields);
      if (conflicts.length === 0) {
        keep(key, { ...known, ...point.fields });
        return { point, conflicts };
      }
      const fields = { ...point.fields };
      for (const { field } of conflicts) delete fields[field];
      keep(key, { ...known, ...fields });
      return Object.keys(fields).length === 0 ? { conflicts } : { point: { ...point, fields }, conflicts };
    },
    replace(point) {
      const key = keyOf(point);
      keep(key, { ...(young.get(key) ?? old.get(key)), ...point.fields });
    },
    forget() {
      young = new Map();
      old = young;
    },
  };
}

function findConflicts(known: Point["fields"], fields: Point["fields"]): ValueConflict[] {
  const conflicts: ValueConflict[] = [];
  for (const field of Object.keys(fields)) {
    const first = Object.hasOwn(known, field) ? known[field] : undefined;
    const second = fields[field];
    if (first !== undefined && second !== undefined && first !== second)
      conflicts.push({ field, first, second });
  }
  return conflicts;
}

/** Series and instant. The tags of one source come in one order. */
function keyOf({ measurement, tags, timeUs }: Point): string {
  let key = `${timeUs}\u0000${measurement}`;
  for (const name in tags) key += `\u0000${name}\u0000${tags[name]}`;
  return key;
}
