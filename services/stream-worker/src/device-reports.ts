import { type CommandResult, noteReportedConfig, noteResults, type Transaction } from "@sluice/db";
import { payloadOf } from "@sluice/shared-types";
import type { BatchMessage } from "./batch.ts";

/**
 * Notes what devices say about what was asked of them, in the transaction that stores it: results of commands
 * (`commands/{type}/result`, `fleet/status/{group}`), and the version of the configuration they have (`status/config`).
 */
export async function noteReports(tx: Transaction, messages: readonly BatchMessage[]): Promise<void> {
  const results: CommandResult[] = [];
  const configs: { device: string; version: number; atUs: number }[] = [];
  for (const { telemetry, text } of messages) {
    if (telemetry === undefined || telemetry.kind === "telemetry") continue;
    const { device, kind, type, receivedUs } = telemetry;
    if (kind === "result" || type === "fleet") {
      const result = readResult(device, payloadOf(text));
      if (result) results.push(result);
    } else if (type === "config") {
      const { version } = toObject(payloadOf(text));
      if (Number.isInteger(version)) configs.push({ device, version: Number(version), atUs: receivedUs });
    }
  }
  await noteResults(tx, results);
  await noteReportedConfig(tx, configs);
}

const FAILED = /^(fail|error|reject|refus|unknown|unsupported|timeout|denied|invalid)/i;

/** What a device says became of a command; undefined where it names none. */
function readResult(device: string, payload: string): CommandResult | undefined {
  const { id, command_id, ...result } = toObject(payload);
  const wireId = id ?? command_id;
  if (typeof wireId !== "string" && typeof wireId !== "number") return undefined;
  const { status, error, ok, success } = result;
  const said = error === undefined || error === null || error === false ? undefined : error;
  const ending = said !== undefined || ok === false || success === false;
  const failed = ending || (typeof status === "string" && FAILED.test(status));
  const why = said === undefined ? undefined : String(typeof said === "object" ? JSON.stringify(said) : said);
  return { device, wireId: String(wireId), ok: !failed, result, error: failed ? why : undefined };
}

function toObject(payload: string): Record<string, unknown> {
  const json: unknown = JSON.parse(payload);
  return typeof json === "object" && json !== null && !Array.isArray(json)
    ? (json as Record<string, unknown>)
    : {};
}
