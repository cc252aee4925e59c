import { coerceField, type FieldConflict, type StoredType } from "./field-types.ts";
import { encodePoint, type FieldValue, type Point, storedField, storedMeasurement } from "./line-protocol.ts";
import type { Influx } from "./open-influx.ts";
import { type RejectedLine, settleLines } from "./settle-lines.ts";

/** Fields of a point that the server will not take; the point's other fields are stored. */
export interface RefusedPart {
  /** Position of the point among those given. */
  index: number;
  fields: string[];
  reason: RejectedLine["reason"];
  /** The server's words. */
  message: string;
}

/** Writes points so that one bad field costs only itself. */
export interface PointWriter {
  /**
   * Resolves when every field of every point is stored or named as refused. A value whose type differs from what
   * the server has for the field is coerced where nothing is lost (`true` → 1, `"21.5"` → 21.5, 5 → `"5"`).
   * Rejects with OutageError when it cannot be told; writing all of it again then changes nothing stored.
   */
  write(points: readonly Point[]): Promise<RefusedPart[]>;
}

/** Remembers no more field types than this; beyond, it learns them anew. */
const MAX_TYPES = 100_000;

/** Creates a writer that sends up to `batchSize` points per request, one request at a time. */
export function createPointWriter(influx: Pick<Influx, "post">, batchSize: number): PointWriter {
  const types = createTypeMemory();

  async function writeChunk(points: readonly Point[]): Promise<RefusedPart[]> {
    const learned = new Set<string>();
    for (;;) {
      const { lines, origin, doubtful } = encodeChunk(points, types);
      const refusal = await influx.post(lines);
      const conflict = refusal?.conflict;
      if (conflict && !learned.has(keyOf(conflict)) && types.learn(conflict)) {
        learned.add(keyOf(conflict));
        continue; // the whole chunk again, with what is known now: what was stored is the same point
      }
      const rejected = refusal ? await settleLines(influx.post, lines) : [];
      const refused = await writeDoubtful(doubtful);
      for (const line of rejected) {
        const index = origin[line.index] ?? 0;
        refused.push(...(await writeAlone(points[index], index, line)));
      }
      return refused;
    }
  }

  /** Fields that the server has with another type, each in a line of its own: another shard may yet take it. */
  async function writeDoubtful(doubtful: readonly Doubtful[]): Promise<RefusedPart[]> {
    const rejected = await settleLines(
      influx.post,
      doubtful.map(({ line }) => line),
    );
    return rejected.flatMap(({ index: at, reason, message }) => {
      const found = doubtful[at];
      return found ? [{ index: found.index, fields: [found.field], reason, message }] : [];
    });
  }

  /** A point that the server would not take as it was: without the fields it names, one by one. */
  async function writeAlone(
    point: Point | undefined,
    index: number,
    line: RejectedLine,
  ): Promise<RefusedPart[]> {
    if (!point) return [];
    const fields = new Map(Object.entries(point.fields));
    const { reason, message } = line;
    if (reason !== "type_conflict") return [{ index, fields: [...fields.keys()], reason, message }];
    const refused: RefusedPart[] = [];
    const coerced = new Set<string>();
    while (fields.size > 0) {
      const refusal = await influx.post([encodePoint({ ...point, fields: Object.fromEntries(fields) })]);
      if (!refusal) break;
      const { conflict, message } = refusal;
      const field = conflict && [...fields.keys()].find((key) => storedField(key) === conflict.field);
      if (field === undefined) {
        refused.push({ index, fields: [...fields.keys()], reason: "influx_rejected", message });
        break;
      }
      const value = coerceField(fields.get(field) ?? "", conflict?.storedType ?? "integer");
      if (value !== undefined && !coerced.has(field)) fields.set(field, value);
      else {
        fields.delete(field);
        refused.push({ index, fields: [field], reason: "type_conflict", message });
      }
      coerced.add(field);
    }
    return refused;
  }

  return {
    async write(points) {
      const refused: RefusedPart[] = [];
      for (let from = 0, to = 0; from < points.length; from = to) {
        to = chunkEnd(points, from, batchSize);
        const parts = await writeChunk(points.slice(from, to));
        for (const part of parts) refused.push({ ...part, index: part.index + from });
      }
      return refused;
    },
  };
}

/** Points are counted, and fields at ten to a point: few large points make a large request too. */
function chunkEnd(points: readonly Point[], from: number, batchSize: number): number {
  let fields = 0;
  let to = from;
  while (to < points.length && to - from < batchSize && fields < batchSize * 10) {
    for (const _ in points[to]?.fields) fields++;
    to++;
  }
  return to;
}

interface Doubtful {
  index: number;
  field: string;
  line: string;
}

interface Chunk {
  lines: string[];
  /** Position of each line's point. */
  origin: number[];
  doubtful: Doubtful[];
}

function encodeChunk(points: readonly Point[], types: TypeMemory): Chunk {
  const chunk: Chunk = { lines: [], origin: [], doubtful: [] };
  for (const [index, point] of points.entries()) {
    const known = types.ofMeasurement(point.measurement);
    const fields = known ? sortOut(point, known, index, chunk.doubtful) : point.fields;
    if (known && Object.keys(fields).length === 0) continue;
    chunk.lines.push(encodePoint({ ...point, fields }));
    chunk.origin.push(index);
  }
  return chunk;
}

function sortOut(
  point: Point,
  known: ReadonlyMap<string, StoredType>,
  index: number,
  doubtful: Doubtful[],
): Record<string, FieldValue> {
  const fields: Record<string, FieldValue> = {};
  for (const [field, value] of Object.entries(point.fields)) {
    const type = known.get(storedField(field));
    const fitting = type === undefined ? value : coerceField(value, type);
    if (fitting !== undefined) fields[field] = fitting;
    else doubtful.push({ index, field, line: encodePoint({ ...point, fields: { [field]: value } }) });
  }
  return fields;
}

const keyOf = ({ measurement, field }: FieldConflict) => `${measurement}\u0000${field}`;

interface TypeMemory {
  /** Keeps what a server said; false where that is what was known. */
  learn(conflict: FieldConflict): boolean;
  ofMeasurement(measurement: string): ReadonlyMap<string, StoredType> | undefined;
}

function createTypeMemory(): TypeMemory {
  const types = new Map<string, Map<string, StoredType>>();
  let size = 0;
  return {
    learn({ measurement, field, storedType }) {
      if (size >= MAX_TYPES) {
        types.clear();
        size = 0;
      }
      const fields = types.get(measurement) ?? new Map<string, StoredType>();
      types.set(measurement, fields);
      if (fields.get(field) === storedType) return false;
      if (!fields.has(field)) size++;
      fields.set(field, storedType);
      return true;
    },
    ofMeasurement: (measurement) => types.get(storedMeasurement(measurement)),
  };
}
