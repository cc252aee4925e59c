import { describe, expect, test } from "@jest/globals";
import { createCommand } from "@sluice/db";
import { waitFor } from "@sluice/testkit";
import { useApi } from "./use-api.ts";

const STREAM = encodeURIComponent("sluice:telemetry:{0}");

describe("what the console works with", () => {
  const it = useApi();
  const get = async (path: string, key = it.keys.read) => it.call("GET", path, { key });

  test("a pending entry is listed with its age and attempts, and claimed from whoever sits on it", async () => {
    await it.bus.ensureGroup("sluice:telemetry:{0}", "postgres");
    await it.bus.publish("sluice:telemetry:{0}", ["x", "y"]);
    const reader = await it.bus.reader({
      stream: "sluice:telemetry:{0}",
      group: "postgres",
      consumer: "stuck",
    });
    const [held] = await reader.read(10, 5000);
    const { json } = await get(`/api/v1/streams/${STREAM}/groups/postgres/pending?limit=10`);
    expect(json.entries).toEqual([
      expect.objectContaining({ id: held?.id, consumer: "stuck", messages: 2, attempts: 1 }),
    ]);
    const path = `/api/v1/streams/${STREAM}/groups/postgres/claim`;
    const claim = await it.call("POST", path, { key: it.keys.write, body: { ids: [held?.id] } });
    expect(claim.json.claimed).toEqual([held?.id]);
    expect((await get(`/api/v1/streams/${STREAM}/groups/nobody/pending`)).status).toBe(404);
    expect((await get("/api/v1/streams/other/groups/postgres/pending")).status).toBe(404);
    const streams = (await get("/api/v1/streams")).json.streams.map(
      ({ stream }: { stream: string }) => stream,
    );
    expect(streams).toContain("sluice:rejected:{0}");
    await reader.close();
  });

  test("a message is traced by its sequence number, by a key of its own device only", async () => {
    const { json } = await get("/api/v1/trace?device=esp32_001&seq=42", it.a.apiKey);
    expect(json).toMatchObject({ state: "unknown", device: "esp32_001" });
    expect((await get("/api/v1/trace?device=esp32_002&seq=42", it.a.apiKey)).status).toBe(403);
    expect((await get("/api/v1/trace?device=esp32_001")).status).toBe(400);
  });

  test("jobs tell their schedule; a backfill is shown first and applied by its token", async () => {
    const { json } = await get("/api/v1/jobs/schedule");
    expect(json.jobs.map(({ name }: { name: string }) => name)).toEqual(
      expect.arrayContaining(["hourly", "daily"]),
    );
    const day = Math.floor(Date.now() / 86_400_000) * 86_400 - 2 * 86_400;
    await it.db.query(
      `WITH s AS (INSERT INTO iot.sensors (device_id, sensor_code, value_type)
                  SELECT id, 'temperature', 'number' FROM iot.devices WHERE device_code = 'esp32_001' RETURNING id)
       INSERT INTO public.measurement (time, sensor_id, value) SELECT to_timestamp($1::float8 + n * 60), s.id, n
         FROM s, generate_series(0, 300) n`,
      [day],
    );
    const post = (body: object) => it.call("POST", "/api/v1/jobs/backfill", { key: it.keys.write, body });
    const plan = (await post({ jobs: ["hourly"], days: 3 })).json;
    expect(plan).toMatchObject({ applied: false, count: expect.any(Number) });
    expect(plan.changes[0]).toMatchObject({ table: "bi.hourly_sensor_agg", old: null });
    const counted = await it.db.query("SELECT FROM bi.hourly_sensor_agg");
    expect(counted).toHaveLength(0);
    expect((await post({ apply: plan.token })).json).toEqual({ applied: true, count: plan.count });
    expect(await it.db.query("SELECT FROM bi.hourly_sensor_agg")).toHaveLength(plan.count);
    expect((await post({ apply: plan.token })).status).toBe(409);
    expect((await post({ jobs: ["nothing"] })).status).toBe(400);
  });

  test("whoever listens hears what happens from then on, and a device only of itself", async () => {
    const hear = async (key: string) => {
      const stop = new AbortController();
      const answer = await fetch(`${it.url}/api/v1/live?events=events`, {
        headers: { "x-api-key": key },
        signal: stop.signal,
      });
      let text = "";
      const reading = (async () => {
        for await (const chunk of answer.body ?? []) text += Buffer.from(chunk).toString();
      })().catch(() => {});
      return {
        text: () => text,
        stop: () => {
          stop.abort();
          return reading;
        },
      };
    };
    const [person, device] = [await hear(it.keys.read), await hear(it.a.apiKey)];
    let sent = 0;
    await waitFor(async () => {
      const of = sent++ % 2 === 0 ? "esp32_001" : "esp32_002";
      await createCommand(it.db, { device: of, type: `led${sent}`, payload: {}, source: "api" });
      return person.text().includes('"device":"esp32_002"') && device.text().includes('"device":"esp32_001"');
    });
    expect(person.text()).toContain("event: command");
    expect(device.text()).not.toContain("esp32_002");
    await Promise.all([person.stop(), device.stop()]);
  });

  test("retention is set, shown and taken away", async () => {
    const path = "/api/v1/retention/measurement/*";
    const put = await it.call("PUT", path, { key: it.keys.admin, body: { days: 30 } });
    expect([put.status, put.text]).toEqual([204, ""]);
    const own = { table: "measurement", sensorType: "*", days: 30, active: true };
    expect((await get("/api/v1/retention")).json.policies).toEqual([expect.objectContaining(own)]);
    expect((await it.call("DELETE", path, { key: it.keys.admin })).status).toBe(204);
    expect((await it.call("DELETE", path, { key: it.keys.admin })).status).toBe(404);
  });

  test("the list of devices says how each does, and finds by a part of its name", async () => {
    const { json } = await get("/api/v1/devices?search=32_00");
    expect(json.devices[0]).toMatchObject({
      id: "esp32_001",
      gaps: 0,
      missing: 0,
      readingsPerMinute: 0,
      clockSkewMs: null,
    });
    expect((await get("/api/v1/devices?search=%25")).json.devices).toEqual([]);
  });
});
