import {
  findDataStatus,
  listAlertDays,
  listAlertDetails,
  listEnergyHours,
  listMachineDays,
  listMachines,
  listProgramDays,
  listSensorHours,
  type MachineDays,
  type Queries,
} from "@sluice/db";
import { createMachineStores, findMachineVariables, type MachineStores } from "@sluice/etl";
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import type { Deps } from "../deps.ts";
import {
  AlertsDailyCountOut,
  AlertsDetailOut,
  DataStatusOut,
  EnergyConsumptionOut,
  MachineChangeOut,
  MachineProgramOut,
  MachineUtilOut,
  SensorStatsOut,
} from "../machine-models.ts";
import { machinePage } from "../machine-page.ts";
import { principalOf } from "../principal.ts";
import { Refusal } from "../refusal.ts";
import { Instant } from "../schemas.ts";
import type { App } from "../server.ts";

const READ = { access: "read" as const };
/** Whose figures are meant where nobody says. */
const USUAL_MACHINE = "machine-1";
const DAY_MS = 86_400_000;
const MOST_DAYS = 1000;
const MOST_DETAILS = 50_000;
const MOST_CHANGES_MS = 62 * DAY_MS;

const MachineId = z
  .string()
  .regex(/^[a-z0-9-]{1,50}$/, "is lower-case letters, digits and '-'")
  .default(USUAL_MACHINE);
const Day = z.iso.date("is a day such as 2022-02-23");
const Days = z
  .object({
    target_date: Day.optional(),
    start_date: Day.optional(),
    end_date: Day.optional(),
    machine_id: MachineId,
  })
  .refine(
    ({ target_date, start_date }) => (target_date === undefined) !== (start_date === undefined),
    "give target_date, or start_date with end_date",
  )
  .refine(
    ({ start_date, end_date }) => start_date !== undefined || end_date === undefined,
    "end_date needs start_date",
  )
  .refine(
    ({ start_date = "", end_date = start_date }) => start_date <= end_date,
    "start_date is after end_date",
  )
  .refine(
    ({ start_date = "", end_date = start_date }) =>
      start_date === "" || Date.parse(end_date) - Date.parse(start_date) < MOST_DAYS * DAY_MS,
    `at most ${MOST_DAYS} days at once`,
  );
type Days = z.output<typeof Days>;

/** An instant whose `+` came through the URL as a space: `2022-01-30 15:00:00+00:00`. */
const LooseInstant = z
  .string()
  .transform((text) => text.replace(/^(\d{4}-\d\d-\d\d[T ][\d:.]+) (\d\d:?\d\d)$/, "$1+$2"))
  .pipe(Instant);

/** Document E: figures of machines. A day, or days from `start_date` to `end_date`; one machine at a time. */
export function addMachineRoutes(app: App, deps: Deps): void {
  const stores = createMachineStores(deps.config);
  app.addHook("onClose", () => stores.close());
  const ask = createAsk(deps, stores);
  addStatusRoutes(app, deps, stores, ask);
  const daily = <T>(
    path: string,
    model: z.ZodType,
    list: (db: Queries, days: MachineDays) => Promise<T[]>,
    missing?: string,
  ) =>
    app.get(path, { config: READ, schema: { querystring: Days, response: listOf(model) } }, (request) =>
      ask(request, request.query.machine_id, async (db) => {
        const rows = await list(db, daysOf(request.query));
        if (rows.length === 0 && missing !== undefined) throw none(missing, request.query);
        return rows;
      }),
    );
  app.get(
    "/api/v1/temperature",
    {
      config: READ,
      schema: {
        querystring: Days.safeExtend({ sensor_name: z.string().max(100).default("") }),
        response: listOf(SensorStatsOut),
      },
    },
    (request) =>
      ask(request, request.query.machine_id, async (db) => {
        const { sensor_name } = request.query;
        const rows = await listSensorHours(db, daysOf(request.query), sensor_name);
        if (rows.length === 0) throw none(`temperature data found for ${sensor_name}`, request.query);
        return rows;
      }),
  );
  daily("/api/v1/machine_util", MachineUtilOut, listMachineDays, "utilization data found");
  daily("/api/v1/machine_program", MachineProgramOut, listProgramDays, "program data found");
  daily("/api/v1/alerts_daily_count", AlertsDailyCountOut, listAlertDays);
  daily("/api/v1/alerts_detail", AlertsDetailOut, (db, days) => listAlertDetails(db, days, MOST_DETAILS));
  daily("/api/v1/energy_consumption", EnergyConsumptionOut, listEnergyHours);
  addChangesRoute(app, deps, stores, ask);
  addPage(app, ask);
}

const listOf = (model: z.ZodType) => ({ 200: z.array(model) });

type Ask = <T>(request: FastifyRequest, machineId: string, work: (db: Queries) => Promise<T>) => Promise<T>;

/** Asks the database with the figures, for whoever may see the machine; its failures are answered as the document has it. */
function createAsk({ db, log }: Deps, stores: MachineStores): Ask {
  return async (request, machineId, work) => {
    try {
      const { devices } = principalOf(request);
      if (devices !== null) {
        const machine = (await listMachines(db)).find((one) => one.machineId === machineId);
        if (machine?.device == null || !devices.includes(machine.device))
          throw new Refusal(403, "this key may not see that machine", { code: "not_authorised" });
      }
      return await work((await stores.target()) ?? db);
    } catch (error) {
      if (error instanceof Refusal) throw error;
      log.warn({ err: error, machineId }, "figures of a machine not served");
      throw new Refusal(500, "Database error", { code: "unavailable" }, { "retry-after": "2" });
    }
  };
}

const daysOf = ({ target_date, start_date, end_date, machine_id }: Days): MachineDays => {
  const from = target_date ?? start_date ?? "";
  return { machineId: machine_id, from, to: target_date ?? end_date ?? from };
};

function none(what: string, query: Days): Refusal {
  const { from, to } = daysOf(query);
  return new Refusal(404, `No ${what} ${from === to ? `for ${from}` : `from ${from} to ${to}`}`, {
    code: "not_found",
  });
}

function addStatusRoutes(app: App, { db }: Deps, stores: MachineStores, ask: Ask): void {
  app.get("/api/status", { config: { access: "public" } }, async () => {
    const connected = await Promise.resolve(stores.source())
      .then((source) => (source ?? db).ping())
      .then(
        () => true,
        () => false,
      );
    return { status: "API is running", database: connected ? "Connected" : "Connection failed" };
  });
  app.get(
    "/api/v1/data_status",
    {
      config: READ,
      schema: { querystring: z.object({ machine_id: MachineId }), response: { 200: DataStatusOut } },
    },
    (request) =>
      ask(request, request.query.machine_id, async (figures) => {
        const status = await findDataStatus(figures, request.query.machine_id);
        if (!status) throw new Refusal(404, "No data found", { code: "not_found" });
        return status;
      }),
  );
}

/** When a machine went in and out of operation, from its log; null while it was off. */
function addChangesRoute(app: App, { db }: Deps, stores: MachineStores, ask: Ask): void {
  const Range = z
    .object({ start: LooseInstant, end: LooseInstant, machine_id: MachineId })
    .refine(({ start, end }) => start <= end, "start is after end")
    .refine(({ start, end }) => (end - start) / 1000 <= MOST_CHANGES_MS, "at most 62 days at once");
  const schema = { querystring: Range, response: listOf(MachineChangeOut) };
  app.get("/api/v1/machine_changes", { config: READ, schema }, (request) =>
    ask(request, request.query.machine_id, async () => {
      const { start, end, machine_id } = request.query;
      const machine = (await listMachines(db)).find(({ machineId }) => machineId === machine_id);
      const found = machine && (await findMachineVariables(db, machine, stores));
      const [operation] = found?.roles.operation ?? [];
      if (!found || !operation) return [];
      const [fromMs, toMs] = [start / 1000, end / 1000];
      const samples = await found.log.listSamples([operation.id], { fromMs, toMs });
      return (samples.get(operation.id) ?? [])
        .filter(({ atMs }) => atMs >= fromMs && atMs <= toMs)
        .map(({ atMs, value }) => ({ ts: pythonTime(atMs), value }));
    }),
  );
}

/** As `str()` of a Python datetime in UTC. */
const pythonTime = (atMs: number): string => {
  const [date, clock = ""] = new Date(atMs).toISOString().slice(0, -1).split("T");
  return `${date} ${clock.replace(".000", "").replace(/(\.\d{3})$/, "$1000")}+00:00`;
};

/** A page with a form for a range of days. */
function addPage(app: App, ask: Ask): void {
  const Form = z.object({ start_date: Day.optional(), end_date: Day.optional(), machine_id: MachineId });
  app.get(
    "/machines",
    { config: READ, schema: { querystring: Form, hide: true } },
    async (request, reply) => {
      const { machine_id: machineId, start_date, end_date } = request.query;
      const html = await ask(request, machineId, async (db) => {
        const to =
          end_date ??
          (await findDataStatus(db, machineId))?.last_date ??
          new Date().toISOString().slice(0, 10);
        const from = start_date ?? new Date(Date.parse(to) - 6 * DAY_MS).toISOString().slice(0, 10);
        return machinePage(db, { machineId, from, to });
      });
      return reply
        .type("text/html; charset=utf-8")
        .header(
          "content-security-policy",
          "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
        )
        .send(html);
    },
  );
}
