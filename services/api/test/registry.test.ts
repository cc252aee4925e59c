import { describe, expect, test } from "@jest/globals";
import { useApi } from "./use-api.ts";

describe("the registry", () => {
  const it = useApi();
  const as = (line: string, body?: unknown) => {
    const [method = "", path = ""] = line.split(" ");
    return it.call(method, path, body === undefined ? { key: it.keys.admin } : { key: it.keys.admin, body });
  };

  test("facilities, zones, rooms and racks are made, listed by what they are in, changed, and taken away", async () => {
    const facility = (await as("POST /api/v1/facilities", { name: "North", timeZone: "Asia/Kolkata" })).json;
    expect(facility).toMatchObject({ name: "North", timeZone: "Asia/Kolkata" });
    expect((await as("POST /api/v1/facilities", { name: "North" })).status).toBe(409);
    expect((await as("POST /api/v1/facilities", { name: "South", timeZone: "Mars/Base" })).status).toBe(400);
    const zone = (await as("POST /api/v1/zones", { name: "Z", facilityId: facility.id, areaSqm: 2.5 })).json;
    const room = (await as("POST /api/v1/rooms", { name: "R", facilityId: facility.id, zoneId: zone.id }))
      .json;
    const rack = (await as("POST /api/v1/racks", { name: "K", roomId: room.id })).json;
    expect((await as("POST /api/v1/racks", { name: "K", roomId: 999_999 })).status).toBe(404);
    expect((await as(`GET /api/v1/zones?in=${facility.id}`)).json).toMatchObject({
      zones: [{ areaSqm: 2.5 }],
      next: null,
    });
    expect((await as(`PATCH /api/v1/rooms/${room.id}`, { targetTemp: 21 })).json).toMatchObject({
      name: "R",
      targetTemp: 21,
    });
    const put = await as("PATCH /api/v1/devices/esp32_001", { facilityId: facility.id, rackId: rack.id });
    expect(put.json).toMatchObject({ facilityId: facility.id, rackId: rack.id });
    expect((await as(`DELETE /api/v1/facilities/${facility.id}`)).status).toBe(409);
    expect((await as(`DELETE /api/v1/racks/${rack.id}`)).status).toBe(204);
    expect((await as("GET /api/v1/devices/esp32_001")).json.rackId).toBeNull();
    expect((await as(`GET /api/v1/racks/${rack.id}`)).status).toBe(404);
    const { events } = (await as("GET /api/v1/audit?event=rack.removed")).json;
    expect(events[0].entityId).toBe(String(rack.id));
  });

  test("a calibration is noted and applied, and says when the next is due", async () => {
    const body = { device: "esp32_001", field: "ph" };
    const sensor = (await as("POST /api/v1/sensors", body)).json;
    expect((await as("POST /api/v1/sensors", body)).status).toBe(409);
    await as(`PATCH /api/v1/sensors/${sensor.id}`, { type: "PH_SENSOR" });
    const made = await as(`POST /api/v1/sensors/${sensor.id}/calibrations`, {
      offset: 0.15,
      nextDue: new Date(Date.now() + 3_600_000).toISOString(),
      referenceValues: { "7.00": 6.85 },
    });
    expect([made.status, made.json.offsetBefore, made.json.offsetAfter]).toEqual([201, 0, 0.15]);
    expect((await as("GET /api/v1/sensors?device=esp32_001")).json.sensors[0].calibrationOffset).toBe(0.15);
    expect((await as("GET /api/v1/calibrations/due?days=2")).json.due[0]).toMatchObject({
      sensorId: sensor.id,
      field: "ph",
    });
    expect((await as(`GET /api/v1/sensors/${sensor.id}/calibrations`)).json.calibrations).toHaveLength(1);
    expect((await as("DELETE /api/v1/sensor-types/PH_SENSOR")).status).toBe(409);
    await it.db.query("INSERT INTO public.measurement (time, sensor_id, value) VALUES (now(), $1, 7)", [
      sensor.id,
    ]);
    expect((await as(`DELETE /api/v1/sensors/${sensor.id}`)).status).toBe(409);
    await it.db.query("DELETE FROM public.measurement WHERE sensor_id = $1", [sensor.id]);
    expect((await as(`DELETE /api/v1/sensors/${sensor.id}`)).status).toBe(204);
    expect((await as("DELETE /api/v1/sensor-types/PH_SENSOR")).status).toBe(204);
  });

  test("a credential for several devices is shown once, changed, and taken away", async () => {
    const body = { username: "greenhouse", devices: ["esp32_001", "gh_1"] };
    const made = await as("POST /api/v1/credentials", body);
    expect([made.status, made.json.password.length]).toEqual([201, 24]);
    const list = await as("GET /api/v1/credentials?device=gh_1");
    expect(list.json.credentials).toEqual([
      expect.objectContaining({ username: "greenhouse", status: "active", devices: body.devices }),
    ]);
    expect(list.text).not.toContain(made.json.password);
    expect(
      (await as("PATCH /api/v1/credentials/greenhouse", { ackStored: true, timeZone: "Europe/Lisbon" }))
        .status,
    ).toBe(204);
    expect((await as("DELETE /api/v1/credentials/greenhouse")).status).toBe(204);
    expect((await as("DELETE /api/v1/credentials/greenhouse")).status).toBe(404);
    const token = await as("POST /api/v1/claim-tokens", { uses: 5, prefix: "gh_" });
    expect(token.json.token).toMatch(/^slc_/);
    expect((await as("GET /api/v1/claim-tokens")).json.tokens[0]).toMatchObject({
      maxUses: 5,
      devicePrefix: "gh_",
    });
    expect((await as(`DELETE /api/v1/claim-tokens/${token.json.id}`)).status).toBe(204);
  });
});
