import { describe, expect, test } from "@jest/globals";
import { type Engine, type Extent, listLoggedMachines, MACHINE_SCRIPTS, runMachines } from "@sluice/etl";
import { createQuietEngine } from "./quiet-engine.ts";
import { type LogRow, ms, useMachineSource } from "./use-machine-log.ts";

const source = useMachineSource();
const X = 537;
const Y = 498;
const SPINDLE = 544;
const OPERATION = 597;
const EMERGENCY = 540;
const STOP = 660;
const PROGRAM = 581;
const TEMPERATURE = 651;
const ALARMS = 447;
const OFF = Number.NaN;

const engineAt = (now: string): Engine => createQuietEngine(source.db, ms(now), { attempts: 1 });

/** Runs one of the five, or all, and gives what changed, job by job. */
async function run(
  script: string | undefined,
  extent: Extent | [string, string?] = "everything",
  now = "2022-03-10 00:00",
) {
  const scripts = MACHINE_SCRIPTS.filter(({ name }) => script === undefined || name === script);
  const range = Array.isArray(extent)
    ? { fromMs: ms(`${extent[0]} 00:00`), toMs: ms(`${extent[1] ?? extent[0]} 00:00`) + 86_400_000 }
    : extent;
  const machines = await listLoggedMachines(source.db, source.stores);
  const results = await runMachines(engineAt(now), { scripts, machines, extent: range });
  for (const { failed } of results) expect(failed).toEqual([]);
  return results;
}

const rows = (sql: string) => source.db.query(sql);
const activity = () =>
  rows(
    `SELECT dt::text AS dt, state_running::float8 AS running, state_planned_down::float8 AS planned,
            state_unplanned_down::float8 AS unplanned FROM agg_machine_activity_daily ORDER BY agg_machine_activity_daily.dt`,
  );
const energy = () =>
  rows(
    `SELECT to_char(hour_ts, 'DD HH24') AS hour, energy_kwh::float8 AS kwh FROM energy_consumption_hourly ORDER BY hour_ts`,
  );
const programs = () =>
  rows(
    "SELECT dt::text AS dt, program, duration_seconds AS seconds FROM machine_program_data ORDER BY machine_program_data.dt, program",
  );
const stats = () =>
  rows(
    `SELECT to_char(dt, 'DD HH24') AS hour, sensor_name AS name, min_value AS min, avg_value AS avg, max_value AS max,
            std_dev AS sd, readings_count AS n FROM agg_sensor_stats ORDER BY agg_sensor_stats.dt`,
  );
const counts = () =>
  rows(
    "SELECT day::text AS day, alert_type AS type, amount, newly_raised AS raised FROM alerts_daily_count ORDER BY 1, 2",
  );

/** A row every `everySeconds` from one instant to another, both included. */
function steadily(id: number, from: string, to: string, everySeconds = 300): LogRow[] {
  const list: LogRow[] = [];
  for (let at = ms(from); at <= ms(to); at += everySeconds * 1000)
    list.push([id, new Date(at).toISOString().slice(0, 19).replace("T", " "), list.length % 2]);
  return list;
}
const alarm = (code: string, text: string, number = 0) => [code, text, "", "", number];
const list = (...alarms: unknown[]) => JSON.stringify(alarms);

describe("utilization", () => {
  const JOB = "etl_agg_utilization";

  test("a pause of more than 600 s in everything that is logged ends a session, one of 600 s does not", async () => {
    await source.log(
      ...steadily(SPINDLE, "2022-02-23 08:00", "2022-02-23 10:00"),
      ...steadily(TEMPERATURE, "2022-02-23 10:10", "2022-02-23 11:00"),
      ...steadily(SPINDLE, "2022-02-23 12:00", "2022-02-23 12:30"),
      [SPINDLE, "2022-02-25 00:00", 1],
    );
    await run(JOB, ["2022-02-23"]);
    expect(await activity()).toEqual([{ dt: "2022-02-23", running: 3.5, planned: 20.5, unplanned: 0 }]);
    expect(
      await rows(
        "SELECT running_percentage::text AS r, down_percentage::text AS d FROM agg_machine_activity_daily",
      ),
    ).toEqual([{ r: "14.58", d: "85.42" }]);
  });

  test("TRAP: unplanned down is what emergency and stop took, never null, and last_updated_at is set", async () => {
    await source.log(
      ...steadily(SPINDLE, "2022-02-23 08:00", "2022-02-23 16:00"),
      [EMERGENCY, "2022-02-23 09:00", 255],
      [EMERGENCY, "2022-02-23 10:00", 0],
      [STOP, "2022-02-23 09:30", 1],
      [STOP, "2022-02-23 11:00", 0],
      [SPINDLE, "2022-02-25 00:00", 1],
    );
    await run(JOB, ["2022-02-23"]);
    expect(await activity()).toEqual([{ dt: "2022-02-23", running: 6, planned: 16, unplanned: 2 }]);
    expect(
      await rows(
        "SELECT count(last_updated_at) AS n, count(state_unplanned_down) AS u FROM agg_machine_activity_daily",
      ),
    ).toEqual([{ n: 1, u: 1 }]);
  });

  test("TRAP: a machine at once operating, on standby and in emergency is down", async () => {
    await source.log(
      ...steadily(SPINDLE, "2022-02-23 08:00", "2022-02-23 10:00"),
      [OPERATION, "2022-02-23 08:00", 255],
      [496, "2022-02-23 08:00", 255],
      [EMERGENCY, "2022-02-23 08:00", 255],
      [EMERGENCY, "2022-02-23 10:00", 0],
      [OPERATION, "2022-02-23 10:00", OFF],
      [SPINDLE, "2022-02-24 00:00", 1],
    );
    await run(JOB, ["2022-02-23"]);
    expect(await activity()).toEqual([{ dt: "2022-02-23", running: 0, planned: 22, unplanned: 2 }]);
  });

  test("an emergency is carried in from days before, a session over midnight is on both days", async () => {
    await source.log(
      [EMERGENCY, "2022-02-20 12:00", 255],
      [EMERGENCY, "2022-02-23 02:00", 0],
      ...steadily(SPINDLE, "2022-02-23 22:00", "2022-02-24 01:00"),
      [SPINDLE, "2022-02-25 12:00", 1],
    );
    await run(JOB, ["2022-02-23", "2022-02-24"]);
    expect(await activity()).toEqual([
      { dt: "2022-02-23", running: 2, planned: 20, unplanned: 2 },
      { dt: "2022-02-24", running: 1, planned: 23, unplanned: 0 },
    ]);
  });

  test("operation from one change to the next counts although nothing else is logged; repeated values prove nothing", async () => {
    await source.log(
      [OPERATION, "2022-02-22 22:00", 255],
      [OPERATION, "2022-02-23 02:00", 0],
      [OPERATION, "2022-02-23 06:00", 255],
      [OPERATION, "2022-02-23 12:00", 255],
      [OPERATION, "2022-02-23 13:00", OFF],
      [OPERATION, "2022-02-24 13:00", 0],
    );
    await run(JOB, ["2022-02-22", "2022-02-23"]);
    expect(await activity()).toEqual([
      { dt: "2022-02-22", running: 2, planned: 22, unplanned: 0 },
      { dt: "2022-02-23", running: 3, planned: 21, unplanned: 0 },
    ]);
  });

  test("TRAP: of today only what is over counts, and of the future nothing", async () => {
    await source.log(
      ...steadily(SPINDLE, "2022-02-23 08:00", "2022-02-23 10:00"),
      ...steadily(SPINDLE, "2022-02-24 06:00", "2022-02-24 09:00"),
    );
    await run(JOB, ["2022-02-23", "2022-02-28"], "2022-02-24 12:00");
    expect(await activity()).toEqual([
      { dt: "2022-02-23", running: 2, planned: 22, unplanned: 0 },
      { dt: "2022-02-24", running: 3, planned: 9, unplanned: 0 },
    ]);
  });
});

describe("energy", () => {
  const JOB = "etl_agg_energy_daily";

  test("utilization × nominal kW × hours, of all motors together", async () => {
    await source.log(
      [X, "2022-02-23 08:00", 50],
      [Y, "2022-02-23 08:00", 100],
      [620, "2022-02-23 08:00", 10],
      [SPINDLE, "2022-02-23 08:00", 20],
      [X, "2022-02-23 08:30", OFF],
      [Y, "2022-02-23 08:15", OFF],
      [620, "2022-02-23 09:00", OFF],
      [SPINDLE, "2022-02-23 08:06", OFF],
    );
    await run(JOB);
    // 0.5 × 15.1 × 0.5 + 15.1 × 0.25 + 0.1 × 15.71 + 0.2 × 37 × 0.1
    expect(await energy()).toEqual([{ hour: "23 08", kwh: 9.861 }]);
  });

  test("TRAP: a long stretch is booked to every hour it lasted, over midnight too", async () => {
    await source.log([X, "2022-02-23 22:30", 100], [X, "2022-02-24 01:15", 0], [X, "2022-02-24 01:30", OFF]);
    await run(JOB);
    expect(await energy()).toEqual([
      { hour: "23 22", kwh: 7.55 },
      { hour: "23 23", kwh: 15.1 },
      { hour: "24 00", kwh: 15.1 },
      { hour: "24 01", kwh: 3.775 },
    ]);
  });

  test("TRAP: a machine that is off uses nothing, by its motor's variable or by its operation", async () => {
    await source.log(
      [X, "2022-02-23 08:00", 100],
      [X, "2022-02-23 08:30", OFF],
      [X, "2022-02-23 10:00", 100],
      [OPERATION, "2022-02-23 08:00", 255],
      [OPERATION, "2022-02-23 10:15", OFF],
      [X, "2022-02-23 12:00", 0],
    );
    await run(JOB);
    expect(await energy()).toEqual([
      { hour: "23 08", kwh: 7.55 },
      { hour: "23 10", kwh: 3.775 },
    ]);
  });

  test("TRAP: the value of the day before is carried in", async () => {
    await source.log(
      [X, "2022-02-20 23:00", 100],
      [X, "2022-02-23 01:00", OFF],
      [X, "2022-02-25 00:00", OFF],
    );
    await run(JOB, ["2022-02-23"]);
    expect(await energy()).toEqual([{ hour: "23 00", kwh: 15.1 }]);
  });

  test("TRAP: a day that is not over ends with the log, not at midnight", async () => {
    await source.log([X, "2022-02-23 08:00", 100], [TEMPERATURE, "2022-02-23 09:30", 2500]);
    await run(JOB, ["2022-02-23"], "2022-02-23 09:40");
    expect(await energy()).toEqual([
      { hour: "23 08", kwh: 15.1 },
      { hour: "23 09", kwh: 7.55 },
    ]);
  });
});

describe("sensor statistics", () => {
  const JOB = "etl_agg_sensor_stats";

  test("TRAP: they are weighted by time and carried in, in degrees", async () => {
    await source.log(
      [TEMPERATURE, "2022-02-22 12:00", 2000],
      [TEMPERATURE, "2022-02-23 01:45", 3000],
      [TEMPERATURE, "2022-02-23 03:00", OFF],
      [TEMPERATURE, "2022-02-25 03:00", OFF],
    );
    await run(JOB, ["2022-02-23"]);
    const name = "TEMPERATURA_BASE";
    expect(await stats()).toEqual([
      { hour: "23 00", name, min: 20, avg: 20, max: 20, sd: 0, n: 0 },
      { hour: "23 01", name, min: 20, avg: 22.5, max: 30, sd: 4.33, n: 1 },
      { hour: "23 02", name, min: 30, avg: 30, max: 30, sd: 0, n: 0 },
    ]);
  });

  test("TRAP: one reading is enough, and 0 is a reading", async () => {
    await source.log([TEMPERATURE, "2022-02-23 08:00", 0], [TEMPERATURE, "2022-02-23 09:00", OFF]);
    await run(JOB);
    expect(await stats()).toMatchObject([{ hour: "23 08", min: 0, avg: 0, max: 0, sd: 0, n: 1 }]);
  });

  test("values that are not finite, or null, are none", async () => {
    await source.log(
      [TEMPERATURE, "2022-02-23 08:00", 1000],
      [TEMPERATURE, "2022-02-23 08:30", Number.POSITIVE_INFINITY],
      [TEMPERATURE, "2022-02-23 08:40", null],
      [TEMPERATURE, "2022-02-23 08:50", OFF],
    );
    await run(JOB);
    expect(await stats()).toMatchObject([{ hour: "23 08", min: 10, avg: 10, max: 10, n: 1 }]);
  });
});

describe("programs", () => {
  const JOB = "etl_agg_program_history";

  test("the last state is carried in, cut at midnight, and only 0 to 999 are programs", async () => {
    await source.log(
      [PROGRAM, "2022-02-22 23:00", 7],
      [PROGRAM, "2022-02-23 01:00", 1000],
      [PROGRAM, "2022-02-23 02:00", -1],
      [PROGRAM, "2022-02-23 03:00", 0],
      [PROGRAM, "2022-02-23 03:10", 7],
      [PROGRAM, "2022-02-23 03:20", OFF],
      [PROGRAM, "2022-02-25 00:00", OFF],
    );
    await run(JOB);
    expect(await programs()).toEqual([
      { dt: "2022-02-22", program: 7, seconds: 3600 },
      { dt: "2022-02-23", program: 0, seconds: 600 },
      { dt: "2022-02-23", program: 7, seconds: 4200 },
    ]);
  });

  test("TRAP: running again does not double anything, and takes away what is no longer there", async () => {
    await source.log(
      [PROGRAM, "2022-02-23 01:00", 5],
      [PROGRAM, "2022-02-23 02:00", 6],
      [PROGRAM, "2022-02-23 03:00", OFF],
    );
    await run(JOB);
    expect(await run(JOB)).toMatchObject([{ changed: 0 }]);
    await source.source.execute("DELETE FROM variable_log_float WHERE value = 6");
    await run(JOB);
    expect(await programs()).toEqual([{ dt: "2022-02-23", program: 5, seconds: 7200 }]);
  });
});

describe("alerts", () => {
  const JOB = "etl_agg_alerts";

  test("TRAP: an alarm that stays counts again in every snapshot; newly raised ones are counted apart", async () => {
    const door = alarm("700001", "Puerta abierta", 3);
    const fault = alarm("25000", "Axis X hardware fault", 1);
    await source.log(
      [ALARMS, "2022-02-22 23:00", list(door)],
      [ALARMS, "2022-02-23 01:00", list(door, fault)],
      [ALARMS, "2022-02-23 02:00", list(fault)],
      [ALARMS, "2022-02-23 03:00", list()],
      [ALARMS, "2022-02-23 04:00", list(alarm("700001", "Puerta abierta", 4))],
      [ALARMS, "2022-02-24 04:00", "[]"],
    );
    await run(JOB);
    expect(await counts()).toEqual([
      { day: "2022-02-22", type: "other", amount: 1, raised: 1 },
      { day: "2022-02-23", type: "error", amount: 2, raised: 1 },
      { day: "2022-02-23", type: "other", amount: 2, raised: 1 },
    ]);
    expect(
      await rows(
        `SELECT dt::text AS dt, day::text AS day, alert_type AS type, alarm_code AS code, alarm_description AS text,
                raw_elem_json AS json, newly_raised AS raised FROM alerts_detail ORDER BY alerts_detail.dt`,
      ),
    ).toMatchObject([
      {
        dt: "2022-02-23 01:00:00",
        day: "2022-02-23",
        type: "error",
        code: "25000",
        text: fault[1],
        json: fault,
        raised: true,
      },
      { dt: "2022-02-23 02:00:00", raised: false },
    ]);
  });

  test("TRAP: details are not inserted again by a second run", async () => {
    await source.log([
      ALARMS,
      "2022-02-23 01:00",
      list(alarm("1", "EMERGENCY STOP"), alarm("1", "EMERGENCY STOP")),
    ]);
    await run(JOB);
    expect(await run(JOB)).toMatchObject([{ changed: 0 }]);
    expect(await rows("SELECT alert_type, elem_no FROM alerts_detail ORDER BY elem_no")).toEqual([
      { alert_type: "emergency", elem_no: 0 },
      { alert_type: "emergency", elem_no: 1 },
    ]);
  });

  test("TRAP: lists that cannot be read stop nothing and are counted", async () => {
    await source.log(
      [ALARMS, "2022-02-23 01:00", '[["1","Error'],
      [ALARMS, "2022-02-23 01:30", "NaN"],
      [ALARMS, "2022-02-23 02:00", '{"no":"list"}'],
      [ALARMS, "2022-02-23 03:00", list(alarm("2", "Error \0\ud800"), "no alarm", [["deep"], 1])],
      [ALARMS, "2022-02-24 01:00", "[]"],
    );
    await run(JOB);
    expect(await counts()).toEqual([{ day: "2022-02-23", type: "error", amount: 1, raised: 1 }]);
    expect(await rows("SELECT bad_rows AS bad FROM agg_job_day")).toEqual([{ bad: 4 }]);
    expect(await rows("SELECT alarm_description AS text FROM alerts_detail")).toEqual([
      { text: "Error \ufffd\ufffd" },
    ]);
  });

  test("TRAP: days are UTC whatever the time zone of the sessions", async () => {
    await source.source.query(`ALTER DATABASE ${source.settings.DB_NAME} SET timezone = 'Asia/Tokyo'`);
    await source.source.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    await source.log(
      [ALARMS, "2022-02-23 23:59:59", list(alarm("1", "Alarm"))],
      [ALARMS, "2022-02-24 00:00", list()],
    );
    await source.stores.source().then((db) => db?.ping().catch(() => {}));
    await run(JOB);
    expect(await counts()).toEqual([{ day: "2022-02-23", type: "warning", amount: 1, raised: 1 }]);
  });
});

describe("runs", () => {
  const week: LogRow[] = ["21", "22", "23", "24", "25", "26"].flatMap((day): LogRow[] => [
    [X, `2022-02-${day} 08:00`, 50],
    [PROGRAM, `2022-02-${day} 08:00`, 3],
    [TEMPERATURE, `2022-02-${day} 08:00`, 2100],
    [ALARMS, `2022-02-${day} 08:00`, list(alarm("1", `Error on the ${day}th`))],
    [X, `2022-02-${day} 16:00`, OFF],
    [PROGRAM, `2022-02-${day} 16:00`, OFF],
    [TEMPERATURE, `2022-02-${day} 16:00`, OFF],
  ]);
  const days = (table: string, column: string) =>
    rows(`SELECT DISTINCT to_char(${column}, 'DD') AS day FROM ${table} ORDER BY 1`);

  test("a day, a range, everything: each job does just that, and all of it again changes nothing", async () => {
    await source.log(...week);
    for (const { name } of MACHINE_SCRIPTS) {
      await run(name, ["2022-02-23"]);
      await run(name, ["2022-02-24", "2022-02-25"]);
    }
    for (const [table, column] of [
      ["agg_sensor_stats", "dt"],
      ["agg_machine_activity_daily", "dt"],
      ["machine_program_data", "dt"],
      ["alerts_daily_count", "day"],
      ["alerts_detail", "day"],
      ["energy_consumption_hourly", "hour_ts"],
    ] as const) {
      expect([table, await days(table, column)]).toEqual([
        table,
        [{ day: "23" }, { day: "24" }, { day: "25" }],
      ]);
    }
    expect((await run(undefined)).map(({ changed }) => changed > 0)).toEqual([true, true, true, true, true]);
    expect((await run(undefined)).map(({ changed }) => changed)).toEqual([0, 0, 0, 0, 0]);
    expect(await days("agg_machine_activity_daily", "dt")).toHaveLength(6);
  });

  test("TRAP: the daily run fills the holes of each job, whatever the others have done", async () => {
    await source.log(...week);
    await run(undefined);
    await source.db.query(
      `DELETE FROM agg_job_day WHERE job_name = 'etl_agg_alerts' AND day = '2022-02-22';
       DELETE FROM alerts_daily_count WHERE day = '2022-02-22';
       DELETE FROM alerts_detail WHERE day = '2022-02-22'`,
    );
    const due = await run(undefined, "due");
    // the last day is not finished for good: its last values are still open
    expect(due.map(({ windows }) => windows)).toEqual([1, 1, 1, 2, 1]);
    expect(due.map(({ changed }) => changed)).toEqual([0, 0, 0, 3, 0]);
    expect(await days("alerts_detail", "day")).toHaveLength(6);
  });

  test("a day whose log has changed since is done again, and the days that it reaches into", async () => {
    await source.log(...week, [X, "2022-02-28 08:00", OFF]);
    await run(undefined);
    await source.add([X, "2022-02-26 17:00", 100]);
    const due = await run("etl_agg_energy_daily", "due");
    expect(due).toMatchObject([{ windows: 1 }]);
    // 26 February from 17 o'clock, all of the 27th and until 8 on the 28th
    expect(await rows("SELECT count(*) AS n FROM energy_consumption_hourly WHERE energy_kwh = 15.1")).toEqual(
      [{ n: 39 }],
    );
  });

  test("TRAP: a load that fails is not swallowed: the other jobs go on, and it stays due", async () => {
    await source.log(...week);
    await source.db.query("ALTER TABLE machine_program_data ADD CONSTRAINT no CHECK (dt <> '2022-02-23')");
    const machines = await listLoggedMachines(source.db, source.stores);
    const all = { scripts: MACHINE_SCRIPTS, machines, extent: "due" } as const;
    const results = await runMachines(engineAt("2022-03-10 00:00"), all);
    expect(results.map(({ failed }) => failed.length)).toEqual([0, 0, 1, 0, 0]);
    await source.db.query("ALTER TABLE machine_program_data DROP CONSTRAINT no");
    await run(undefined, "due");
    expect(await days("machine_program_data", "dt")).toHaveLength(6);
  });
});
