import { describe, expect, test } from "@jest/globals";
import {
  type Cell,
  createPointWriter,
  encodePoint,
  type FieldValue,
  identifier,
  influxQl,
  openInflux,
  type Point,
} from "@sluice/influx";
import { OutageError } from "@sluice/shared-types";
import { useInflux } from "@sluice/testkit";
import fc from "fast-check";

const server = useInflux({ database: "telemetry" });
const T0 = Date.UTC(2026, 0, 5) * 1000;
const WEEK_US = 7 * 86_400_000_000;

function open(bucket = "telemetry", rest: { password?: string; timeoutMs?: number } = {}) {
  const { url, username, password } = server;
  return openInflux({ url, version: 1, bucket, username, password, ...rest });
}

const point = (
  measurement: string,
  fields: Record<string, FieldValue>,
  timeUs = T0,
  device = "d1",
): Point => ({
  measurement,
  tags: { device_id: device },
  fields,
  timeUs,
});

/** All rows of a measurement, null columns left out. */
async function rows(measurement: string, bucket = "telemetry"): Promise<Record<string, Cell>[]> {
  const influx = open(bucket);
  const found = await influx.query(influxQl`SELECT * FROM ${identifier(measurement)} ORDER BY time`);
  await influx.close();
  return found.flatMap((series) =>
    series.rows.map((row) => Object.fromEntries(Object.entries(row).filter(([, cell]) => cell !== null))),
  );
}

describe("points on a real InfluxDB 1.x", () => {
  test("come back as they were, whatever is in their tags and strings", async () => {
    const influx = open();
    let run = 0;
    const odd = fc.string({
      unit: fc.constantFrom(..." ,=\"\\'#_éü温😀abZ09{}[]()/;:<>&%$!?*+-.|~^`@"),
      minLength: 1,
      maxLength: 16,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            tag: odd,
            text: fc.string({ unit: "grapheme", maxLength: 30 }).filter((t) => !t.includes("\u0000")),
            number: fc.double({ noNaN: true, noDefaultInfinity: true }),
            flag: fc.boolean(),
          }),
          { minLength: 1, maxLength: 20 },
        ),
        async (samples) => {
          const measurement = `odd ${run++}`;
          const points = samples.map((s, i) => ({
            measurement,
            tags: { "the tag, =": s.tag },
            fields: { text: s.text, number: s.number, flag: s.flag },
            timeUs: T0 + i,
          }));
          expect(await influx.write(points.map(encodePoint))).toEqual([]);
          const wanted = samples.map((s, i) => ({
            time: T0 + i,
            "the tag, =": s.tag.endsWith("\\") ? `${s.tag}_` : s.tag,
            text: s.text,
            number: s.number + 0, // -0 is 0
            flag: s.flag,
          }));
          expect(await rows(measurement)).toEqual(wanted);
        },
      ),
      { numRuns: 60 },
    );
    await influx.close();
  });

  test("keep names that have anything in them", async () => {
    const influx = open();
    const fields = { 'a,b= "c\\d"': 1, 温: 2, time: 3, "x\\": 4, "2": 5 };
    await influx.write([encodePoint({ ...point("m, =\"'\\x", fields), tags: { "t =,": "v", _field: "w" } })]);
    expect(await rows("m, =\"'\\x")).toEqual([
      { time: T0, 'a,b= "c\\d"': 1, 温: 2, time_: 3, "x\\_": 4, "2": 5, "t =,": "v", _field_: "w" },
    ]);
    await influx.close();
  });

  test("of 5,000 lines one bad one is rejected by name and the others are stored", async () => {
    const influx = open();
    const lines = Array.from({ length: 5000 }, (_, i) => encodePoint(point("many", { v: i }, T0 + i)));
    lines[1234] = "many v= 5";
    const rejected = await influx.write(lines);
    expect(rejected).toMatchObject([{ index: 1234, reason: "influx_rejected" }]);
    expect(rejected[0]?.message).toContain("missing field value");
    const [count] = await influx.query("SELECT count(v) FROM many");
    expect(count?.rows[0]?.count).toBe(4999);
    await influx.close();
  });

  test("lines outside the retention policy are rejected, those inside are stored", async () => {
    const influx = open("short");
    await influx.ensureDatabase(86_400_000);
    const nowUs = Date.now() * 1000;
    const times = [nowUs, nowUs - WEEK_US * 3, nowUs - 1, nowUs - WEEK_US * 9];
    const rejected = await influx.write(times.map((timeUs) => encodePoint(point("kept", { v: 1 }, timeUs))));
    expect(rejected.map(({ index, reason }) => [index, reason])).toEqual([
      [1, "influx_rejected"],
      [3, "influx_rejected"],
    ]);
    expect((await rows("kept", "short")).length).toBe(2);
    await influx.close();
  });

  test("a missing database is made when it is written to", async () => {
    const influx = open("made on demand");
    expect(await influx.write([encodePoint(point("m", { v: 1 }))])).toEqual([]);
    expect((await rows("m", "made on demand")).length).toBe(1);
    await influx.close();
  });
});

describe("a field whose type differs", () => {
  test("is coerced where nothing is lost, in one batch with its neighbours", async () => {
    const influx = open();
    const writer = createPointWriter(influx, 5000);
    await writer.write([point("coerced", { n: 1.5, s: "a", b: true })]);
    expect(
      await writer.write([
        point("coerced", { n: true, s: 5, b: 0, other: 1 }, T0 + 1),
        point("coerced", { n: "21.5", s: false, b: "true" }, T0 + 2),
      ]),
    ).toEqual([]);
    expect(await rows("coerced")).toEqual([
      { time: T0, device_id: "d1", n: 1.5, s: "a", b: true },
      { time: T0 + 1, device_id: "d1", n: 1, s: "5", b: false, other: 1 },
      { time: T0 + 2, device_id: "d1", n: 21.5, s: "false", b: true },
    ]);
    await influx.close();
  });

  test("is refused alone where it cannot be coerced; the point's other fields are stored", async () => {
    const influx = open();
    const writer = createPointWriter(influx, 5000);
    await writer.write([point("refused", { a: 1, b: true })]);
    const points = Array.from({ length: 300 }, (_, i) =>
      i % 3 === 0
        ? point("refused", { a: "on", b: 7, c: i }, T0 + 1 + i)
        : point("refused", { a: i, c: i }, T0 + 1 + i),
    );
    const refused = await writer.write(points);
    expect(refused.length).toBe(200);
    expect(new Set(refused.map(({ reason }) => reason))).toEqual(new Set(["type_conflict"]));
    expect(refused.filter(({ index }) => index === 3).flatMap(({ fields }) => fields)).toEqual(["a", "b"]);
    const stored = await rows("refused");
    expect(stored.length).toBe(301);
    expect(stored[1]).toEqual({ time: T0 + 1, device_id: "d1", c: 0 });
    expect(stored[2]).toEqual({ time: T0 + 2, device_id: "d1", a: 1, c: 1 });
    await influx.close();
  });

  test("is taken as it is where its own shard has that type", async () => {
    const influx = open();
    const writer = createPointWriter(influx, 5000);
    await writer.write([point("sharded", { v: 1 }, T0)]);
    await writer.write([point("sharded", { v: "text" }, T0 + WEEK_US)]);
    const refused = await writer.write([
      point("sharded", { v: 2 }, T0 + 1),
      point("sharded", { v: "more" }, T0 + WEEK_US + 1),
      point("sharded", { v: "no" }, T0 + 2),
    ]);
    expect(refused.map(({ index, fields }) => [index, fields])).toEqual([[2, ["v"]]]);
    await influx.close();
  });

  test("of two new ones in one batch the first decides", async () => {
    const influx = open();
    const writer = createPointWriter(influx, 5000);
    const refused = await writer.write([
      point("fresh", { v: 1, w: 1 }),
      point("fresh", { v: "x", w: 2 }, T0 + 1),
    ]);
    expect(refused).toMatchObject([{ index: 1, fields: ["v"], reason: "type_conflict" }]);
    expect(await rows("fresh")).toEqual([
      { time: T0, device_id: "d1", v: 1, w: 1 },
      { time: T0 + 1, device_id: "d1", w: 2 },
    ]);
    await influx.close();
  });
});

describe("InfluxQL", () => {
  test("what is put into a query cannot leave its place", async () => {
    const influx = open();
    const nasty = [
      "'; DROP DATABASE telemetry; --",
      "' OR 1=1 --",
      "\\' OR ''='",
      "\\",
      '"; DROP MEASUREMENT "x',
      "a\nb",
      "x' OR device_id =~ /.*/",
    ];
    await influx.write(nasty.map((device, i) => encodePoint(point("in\"jec\\tion'", { v: i }, T0, device))));
    for (const [i, device] of nasty.entries()) {
      const stored = device.replace("\n", "\\n");
      const wanted = stored.endsWith("\\") ? `${stored}_` : stored;
      const found = await influx.query(
        influxQl`SELECT v FROM ${identifier("in\"jec\\tion'")} WHERE ${identifier("device_id")} = ${wanted}`,
      );
      expect(found.flatMap((series) => series.rows)).toEqual([{ time: T0, v: i }]);
    }
    const databases = await influx.query("SHOW DATABASES");
    expect(databases[0]?.rows).toContainEqual({ name: "telemetry" });
    await influx.close();
  });

  test("any string finds exactly itself", async () => {
    const influx = open();
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: "binary", maxLength: 40 }).filter((t) => !t.includes("\u0000")),
        async (s) => {
          const found = await influx.query(
            influxQl`SELECT v FROM nothing WHERE t = ${s} OR ${identifier(`x${s}`)} = 1`,
          );
          expect(found).toEqual([]);
        },
      ),
      { numRuns: 200 },
    );
    await influx.close();
  });

  test("a wrong query is an error with the server's words, not an outage", async () => {
    const influx = open();
    const failed = influx.query("SELEKT 1");
    await expect(failed).rejects.toThrow(/error parsing query/);
    await expect(failed).rejects.not.toBeInstanceOf(OutageError);
    await influx.close();
  });

  test("groups come with their tags", async () => {
    const influx = open();
    await influx.write([
      encodePoint(point("grouped", { v: 1 }, T0, "a")),
      encodePoint(point("grouped", { v: 2 }, T0, "b")),
    ]);
    expect(await influx.query("SELECT v FROM grouped GROUP BY device_id")).toEqual([
      { name: "grouped", tags: { device_id: "a" }, rows: [{ time: T0, v: 1 }] },
      { name: "grouped", tags: { device_id: "b" }, rows: [{ time: T0, v: 2 }] },
    ]);
    await influx.close();
  });
});

describe("deleteRange", () => {
  test("deletes one device's half-open range in every measurement and nothing else", async () => {
    const influx = open("deletion");
    await influx.ensureDatabase();
    const devices = ["it's", "other"];
    const lines = devices.flatMap((device) =>
      ["m one", "m2"].flatMap((m) =>
        [0, 1, 2, 3].map((i) => encodePoint(point(m, { v: i }, T0 + i, device))),
      ),
    );
    await influx.write(lines);
    const range = { tags: { device_id: "it's" }, fromUs: T0 + 1, toUs: T0 + 3 };
    await influx.deleteRange(range);
    await influx.deleteRange(range);
    for (const m of ["m one", "m2"]) {
      const left = await rows(m, "deletion");
      expect(left.filter((row) => row.device_id === "it's").map((row) => row.v)).toEqual([0, 3]);
      expect(left.filter((row) => row.device_id === "other").length).toBe(4);
    }
    await influx.deleteRange({ ...range, measurement: "m2", fromUs: T0, toUs: T0 + 10 });
    expect((await rows("m2", "deletion")).length).toBe(4);
    expect((await rows("m one", "deletion")).length).toBe(6);
    await influx.close();
  });

  test("refuses to delete without a tag", async () => {
    const influx = open("deletion");
    await expect(influx.deleteRange({ tags: {}, fromUs: 0, toUs: 1 })).rejects.toThrow(RangeError);
    await influx.close();
  });
});

describe("an outage", () => {
  test("a wrong password holds the lines", async () => {
    const influx = open("telemetry", { password: "wrong" });
    await expect(influx.write([encodePoint(point("m", { v: 1 }))])).rejects.toThrow(OutageError);
    await influx.close();
  });

  test("a server that was restarted is written to again over the old connections", async () => {
    const influx = open();
    await influx.write([encodePoint(point("restarted", { v: 1 }))]);
    await server.restart();
    await influx.write([encodePoint(point("restarted", { v: 2 }, T0 + 1))]);
    expect((await rows("restarted")).length).toBe(2);
    await influx.close();
  });

  test("a server that hangs is given up after the timeout, one that is gone at once", async () => {
    const influx = open("telemetry", { timeoutMs: 300 });
    await server.kill("SIGSTOP");
    await expect(influx.write([encodePoint(point("m", { v: 1 }))])).rejects.toThrow(
      /no answer within 300 ms/,
    );
    await expect(influx.ping()).rejects.toThrow(OutageError);
    await server.kill("SIGCONT");
    await influx.ping();
    await server.kill("SIGKILL");
    await expect(influx.write([encodePoint(point("m", { v: 1 }))])).rejects.toThrow(OutageError);
    await server.restart();
    await influx.ping();
    await influx.close();
  });
});
