import {
  type AlertStatus,
  acknowledgeAlert,
  CONDITIONS,
  type Condition,
  deleteAlertRule,
  endAlert,
  listAlertRules,
  listAlerts,
  putAlertRule,
  SEVERITIES,
  type Severity,
} from "@sluice/db";
import { Argument, Command, Option } from "commander";
import { pc } from "../colours.ts";
import { CommandError } from "../command-error.ts";
import { environment } from "../environment.ts";
import { deviceIdArgument } from "../id-argument.ts";
import { withDb } from "../installation.ts";
import { printTable, text } from "../monitor/print.ts";
import { integerBetween, numberBetween } from "../number-argument.ts";
import { printJson, printLine } from "../output.ts";

const STATES = {
  active: ["open", "acknowledged"],
  history: ["resolved", "dismissed"],
  all: ["open", "acknowledged", "resolved", "dismissed"],
} as const satisfies Record<string, AlertStatus[]>;
const COLOURS = { info: pc.cyan, warning: pc.yellow, critical: pc.red, emergency: pc.magenta } as const;
const id = integerBetween(1, Number.MAX_SAFE_INTEGER);
const limit = numberBetween(-1e10, 1e10);
type Json = { json?: boolean };

/** `sluice alerts`: what is wrong, and the rules that say so. */
export function alertsCommand(): Command {
  return new Command("alerts")
    .description("what is wrong, and the rules that say so: list, ack, resolve, rules")
    .addHelpText("after", "\nExample:\n  $ ./sluice alerts list")
    .addCommand(listCommand())
    .addCommand(ackCommand())
    .addCommand(resolveCommand())
    .addCommand(rulesCommand());
}

function listCommand(): Command {
  return new Command("list")
    .description("alerts, the newest first")
    .addOption(new Option("--state <state>", "which").choices(Object.keys(STATES)).default("active"))
    .option("--device <id>", "only this device", deviceIdArgument)
    .option("--limit <n>", "how many", integerBetween(1, 10_000), 50)
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  $ ./sluice alerts list --state history --device esp32_001")
    .action((options: { state: keyof typeof STATES; device?: string; limit: number } & Json, self: Command) =>
      withDb(self, async (db) => {
        const filter = { status: STATES[options.state], device: options.device };
        const alerts = await listAlerts(db, filter, options.limit);
        if (options.json) return printJson(alerts);
        printTable(
          "Alerts",
          ["id", "severity", "status", "what", "since", "acknowledged by"],
          alerts.map((one) => [
            ...[one.id, COLOURS[one.severity](one.severity), one.status, text(one.title)],
            ...[one.triggeredAt, text(one.acknowledgedBy)],
          ]),
        );
      }),
    );
}

function ackCommand(): Command {
  return new Command("ack")
    .description("say that somebody cares: it escalates no further")
    .argument("<id>", "number of the alert", id)
    .option("--by <name>", "who", environment.USER ?? "operator")
    .addHelpText("after", "\nExample:\n  $ ./sluice alerts ack 17 --by ada")
    .action((number: number, { by }: { by: string }, self: Command) =>
      withDb(self, async (db) => {
        if (!(await acknowledgeAlert(db, number, { name: by }))) {
          throw new CommandError(`alert ${number} is not open any more`);
        }
        printLine(`alert ${number} is acknowledged by ${by}`);
      }),
    );
}

function resolveCommand(): Command {
  return new Command("resolve")
    .description("end an alert by hand; its rule raises no other until the condition was over once")
    .argument("<id>", "number of the alert", id)
    .option("--note <text>", "what was done")
    .addHelpText("after", "\nExample:\n  $ ./sluice alerts resolve 17 --note 'fan replaced'")
    .action((number: number, { note }: { note?: string }, self: Command) =>
      withDb(self, async (db) => {
        if (!(await endAlert(db, number, "resolved", note ?? null))) {
          throw new CommandError(`alert ${number} had ended already`);
        }
        printLine(`alert ${number} is resolved`);
      }),
    );
}

interface NewRule {
  sensor?: string;
  device?: string;
  threshold?: number;
  min?: number;
  max?: number;
  margin: number;
  hysteresis: number;
  minutes: number;
  window: number;
  severity: Severity;
}

function rulesCommand(): Command {
  const command = new Command("rules")
    .description("the rules: list (usual), add, remove")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  $ ./sluice alerts rules\n  $ ./sluice alerts rules add 'too warm' above --sensor temperature --threshold 30 --minutes 5",
    )
    .action((options: Json, self: Command) =>
      withDb(self, async (db) => {
        const rules = await listAlertRules(db);
        if (options.json) return printJson(rules);
        printTable(
          "Rules",
          ["id", "name", "condition", "sensor", "device", "limit", "minutes", "severity", "active"],
          rules.map((rule) => [
            ...[rule.id, text(rule.name), rule.condition, text(rule.sensorType), rule.device ?? "all"],
            rule.condition === "out_of_range" ? `${rule.min} … ${rule.max}` : rule.threshold,
            ...[
              rule.durationMinutes,
              COLOURS[rule.severity](rule.severity),
              rule.active ? "yes" : pc.dim("no"),
            ],
          ]),
        );
      }),
    );
  command.addCommand(
    new Command("add")
      .description("make a rule; limits are in the sensor's unit, a rate is in units a minute")
      .argument("<name>", "what it is called")
      .addArgument(new Argument("<condition>", "what it watches for").choices(CONDITIONS))
      .option("--sensor <name>", "name of a sensor or of a sensor type")
      .option("--device <id>", "only this device", deviceIdArgument)
      .option("--threshold <value>", "limit of above, below and rate_of_change", limit)
      .option("--min <value>", "lower limit of out_of_range", limit)
      .option("--max <value>", "upper limit of out_of_range", limit)
      .option("--margin <value>", "warn so far before the limit", numberBetween(0, 99_999), 0)
      .option("--hysteresis <value>", "how far it has to come back", numberBetween(0, 99_999), 0)
      .option(
        "--minutes <n>",
        "how long it has to hold, or a device may be silent",
        numberBetween(0, 525_600),
        0,
      )
      .option("--window <minutes>", "a rate is taken over this long", numberBetween(0, 525_600), 0)
      .addOption(new Option("--severity <severity>", "how bad it is").choices(SEVERITIES).default("warning"))
      .addHelpText(
        "after",
        "\nExample:\n  $ ./sluice alerts rules add 'too warm' above --sensor temperature --threshold 30 --minutes 5",
      )
      .action((name: string, condition: Condition, options: NewRule, self: Command) =>
        withDb(self, async (db) => {
          const rule = await putAlertRule(db, toRule(name, condition, options));
          printLine(`rule ${rule.id} watches`);
        }),
      ),
  );
  command.addCommand(
    new Command("remove")
      .description("delete a rule; its alerts end")
      .argument("<id>", "number of the rule", id)
      .addHelpText("after", "\nExample:\n  $ ./sluice alerts rules remove 3")
      .action((number: number, _options: object, self: Command) =>
        withDb(self, async (db) => {
          await deleteAlertRule(db, number);
          printLine(`rule ${number} is deleted`);
        }),
      ),
  );
  return command;
}

function toRule(name: string, condition: Condition, options: NewRule) {
  const { sensor = null, device = null, threshold = null, min = null, max = null } = options;
  const range = condition === "out_of_range";
  if (condition !== "device_offline" && sensor === null) throw new CommandError("--sensor is missing", 2);
  if (range && (min === null || max === null || min >= max)) {
    throw new CommandError("--min and --max are needed, the smaller one first", 2);
  }
  if (!range && condition !== "device_offline" && threshold === null) {
    throw new CommandError("--threshold is missing", 2);
  }
  const { margin: warningMargin, hysteresis, minutes, window, severity } = options;
  return {
    ...{
      name,
      condition,
      sensorType: sensor,
      device,
      threshold,
      min,
      max,
      warningMargin,
      hysteresis,
      severity,
    },
    ...{ durationMinutes: minutes, rateWindowMinutes: window },
    ...{ command: null, channels: null, escalation: null, active: true },
  };
}
