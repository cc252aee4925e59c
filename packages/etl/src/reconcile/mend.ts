import { type Db, findDeviceFacts, listTombstones, type StoredReading } from "@sluice/db";
import { createPointWriter, fieldNameOf, type Influx, influxQl, type Point } from "@sluice/influx";
import { encodeMessage } from "@sluice/shared-types";
import type { InfluxSource } from "../influx-hours.ts";
import { deletePoints } from "./delete-points.ts";
import { type InfluxReading, listMeasurements } from "./influx-readings.ts";
import type { DoubtfulStretch } from "./reconcile.ts";

/** What is done with readings that only InfluxDB has. */
export type ExtraPolicy = "send" | "delete" | "keep";

/** How differences are mended. */
export interface MendOptions {
  extra: ExtraPolicy;
  /** Sends a message of a device to the bus; resolves once it is durable. */
  publish(device: string, message: string): Promise<void>;
}

interface Place {
  measurement: string;
  tags: Readonly<Record<string, string>>;
}

const BATCH = 5000;
const SAMPLES_PER_MESSAGE = 100;

/**
 * Creates what mends a stretch: writes to InfluxDB what PostgreSQL has and it has not, or has with another value, into
 * the series that the field is in already; sends what only InfluxDB has the way of all telemetry, or deletes it, always
 * where PostgreSQL knows of a deletion.
 * Resolves with the number of points that InfluxDB would not take. Doing it again changes nothing.
 */
export function createMender(
  db: Db,
  influx: Influx,
  { extra: policy, publish }: MendOptions,
): (stretch: DoubtfulStretch) => Promise<number> {
  const writer = createPointWriter(influx, BATCH);
  return async ({ device, differences }) => {
    const { missing, differing, extra } = differences;
    const points = [...(await placeMissing(db, influx, device, missing)), ...differing.map(corrected)];
    const refused = points.length === 0 ? [] : await writer.write(points);
    if (policy !== "keep" && extra.length > 0) {
      const deletions = await listTombstones(db, [device]);
      // what was deleted on purpose must not come back
      const gone = (timeUs: number) =>
        deletions.some(({ fromUs, toUs }) => timeUs >= fromUs && timeUs < toUs);
      const isUnwanted = ({ timeUs }: InfluxReading) => policy === "delete" || gone(timeUs);
      await deletePoints(influx, extra.filter(isUnwanted));
      const lost = extra.filter((reading) => !isUnwanted(reading));
      for (const message of messagesOf(device, lost)) await publish(device, message);
    }
    return refused.length;
  };
}

const corrected = ({ right, found }: { right: number; found: InfluxReading }): Point => ({
  measurement: found.measurement,
  tags: found.tags,
  fields: { [found.column]: right },
  timeUs: found.timeUs,
});

async function placeMissing(
  db: Db,
  influx: InfluxSource,
  device: string,
  missing: readonly StoredReading[],
): Promise<Point[]> {
  const places = new Map<string, Place>();
  const points = new Map<string, Point & { fields: Record<string, number> }>();
  for (const { field, timeUs, value } of missing) {
    const place = places.get(field) ?? (await findPlace(db, influx, device, field));
    places.set(field, place);
    const key = `${timeUs}\n${place.measurement}\n${JSON.stringify(place.tags)}`;
    const point = points.get(key) ?? { ...place, timeUs, fields: {} };
    points.set(key, point);
    point.fields["sensor_id" in place.tags ? field : fieldNameOf(field)] = value;
    if (place.measurement === field) point.fields.value = value;
  }
  return [...points.values()];
}

/** The series in which the field was last; without one, where a new reading of the device would go. */
async function findPlace(db: Db, influx: InfluxSource, device: string, field: string): Promise<Place> {
  const all = await listMeasurements(influx);
  const newest = async (column: string, key: "device_id" | "sensor_id", measurements = all) => {
    const where = influxQl`WHERE ${{ identifier: key }} = ${device} GROUP BY *`;
    const statements = measurements.map((name) => `SELECT last(${quoted(column)}) FROM ${name} ${where}`);
    if (statements.length === 0) return undefined;
    const series = await influx.query(statements.join("; "));
    return series
      .filter(({ tags }) => tags[key] === device)
      .map(({ name, tags, rows }) => ({ measurement: name, tags, atUs: Number(rows[0]?.time ?? 0) }))
      .sort((a, b) => b.atUs - a.atUs)[0];
  };
  const alone = all.filter((name) => name === quoted(field)); // sent as `value`
  const found =
    (await newest(fieldNameOf(field), "device_id")) ??
    (await newest("value", "device_id", alone)) ??
    (await newest(field, "sensor_id"));
  if (found) {
    const tags = Object.fromEntries(Object.entries(found.tags).filter(([, value]) => value !== ""));
    return { measurement: found.measurement, tags };
  }
  const facts = await findDeviceFacts(db, device);
  if (facts?.type.toLowerCase() === "hydroponics")
    return { measurement: "sensor_reading", tags: { sensor_id: device, source: "http_api" } };
  const tags: Record<string, string> = { device_id: device, device_type: facts?.type ?? "esp32" };
  if (facts?.name) tags.device_name = facts.name;
  if (facts?.location) tags.location = facts.location;
  return { measurement: "telemetry", tags };
}

const quoted = (name: string) => influxQl`${{ identifier: name }}`;

/** Tags that the writer puts on by itself. */
const OWN_TAGS = new Set([
  "device_id",
  "device_name",
  "device_type",
  "location",
  "topic",
  "sensor_id",
  "source",
  "command",
]);

/** Messages that say what the points say, so that they lead to the same points again. */
function messagesOf(device: string, extra: readonly InfluxReading[]): string[] {
  const groups = new Map<string, { place: Place; samples: Map<number, Record<string, number>> }>();
  const named = new Set(extra.map(({ column, field, timeUs }) => `${column === field} ${timeUs} ${field}`));
  for (const { measurement, tags, column, field, timeUs, value } of extra) {
    // the field that is called like its measurement stands there twice
    if (column !== field && named.has(`true ${timeUs} ${field}`)) continue;
    const key = `${measurement}\n${JSON.stringify(tags)}`;
    const group = groups.get(key) ?? { place: { measurement, tags }, samples: new Map() };
    groups.set(key, group);
    group.samples.set(timeUs, { ...group.samples.get(timeUs), [field]: value });
  }
  return [...groups.values()].flatMap(({ place, samples }) => {
    const all = [...samples];
    return Array.from({ length: Math.ceil(all.length / SAMPLES_PER_MESSAGE) }, (_, i) =>
      encode(device, place, all.slice(i * SAMPLES_PER_MESSAGE, (i + 1) * SAMPLES_PER_MESSAGE)),
    );
  });
}

function encode(
  device: string,
  { measurement, tags }: Place,
  samples: readonly [timeUs: number, data: Record<string, number>][],
): string {
  const own = Object.fromEntries(Object.entries(tags).filter(([name]) => !OWN_TAGS.has(name)));
  return encodeMessage(
    {
      device,
      kind: measurement === "status" ? "status" : measurement === "command_result" ? "result" : "telemetry",
      type: measurement === "command_result" ? (tags.command ?? "result") : measurement,
      source: "import",
      receivedUs: Date.now() * 1000,
      timesUs: samples.map(([timeUs]) => timeUs),
      clock: "device",
      ...(tags.topic === undefined ? {} : { topic: tags.topic }),
      ...(Object.keys(own).length === 0 ? {} : { tags: own }),
    },
    JSON.stringify(samples.map(([timeUs, data]) => ({ ts: new Date(timeUs / 1000).toISOString(), data }))),
  );
}
