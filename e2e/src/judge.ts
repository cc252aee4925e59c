import { readFileSync } from "node:fs";
import type { Db } from "@sluice/db";

/** What a sink says about the messages of one ledger. */
export interface Verdict {
  acknowledged: number;
  stored: number;
  /** Acknowledged and neither in the sink nor in quarantine. */
  lost: string[];
  /** Stored more than once, under whatever time. */
  duplicated: string[];
}

/** One reading `counter` as a sink has it. */
export interface StoredReading {
  device: string;
  seq: number;
}

/** The lines `<device> <boot> <seq>` of a publisher's ledger. */
export function readLedgerFile(ledgerFile: string): Set<string> {
  const lines = readFileSync(ledgerFile, "utf8").split("\n").filter(Boolean);
  return new Set(lines.map((line) => line.split(" ").slice(0, 3).join(" ")));
}

/**
 * Holds a publisher's ledger against what is stored: every acknowledged message has its `counter` reading exactly once,
 * or is in quarantine. Messages that were not acknowledged may be there once or not at all.
 */
export function judge(
  acknowledged: ReadonlySet<string>,
  boot: string,
  rows: readonly StoredReading[],
  kept: ReadonlySet<string>,
): Verdict {
  const stored = new Map<string, number>();
  for (const { device, seq } of rows) {
    const line = `${device} ${boot} ${seq}`;
    stored.set(line, (stored.get(line) ?? 0) + 1);
  }
  return {
    acknowledged: acknowledged.size,
    stored: rows.length,
    lost: [...acknowledged].filter((line) => !stored.has(line) && !kept.has(line)),
    duplicated: [...stored].filter(([, n]) => n > 1).map(([line]) => line),
  };
}

/** The `counter` rows of devices in `measurement`. */
export function readRows(db: Db, devices: readonly string[]): Promise<StoredReading[]> {
  return db.query<{ device: string; seq: number }>(
    `select d.device_code as device, m.value::int8 as seq
     from measurement m join iot.sensors s on s.id = m.sensor_id join iot.devices d on d.id = s.device_id
     where s.sensor_code = 'counter' and d.device_code = any ($1)`,
    [devices],
  );
}

/** Messages of devices that are in quarantine. */
export async function readQuarantine(db: Db, devices: readonly string[]): Promise<Set<string>> {
  const rows = await db.query<{ device: string; boot: string; seq: number }>(
    "select device, boot, seq from quarantine where seq is not null and device = any ($1)",
    [devices],
  );
  return new Set(rows.map(({ device, boot, seq }) => `${device} ${boot} ${seq}`));
}

/** The `counter` points of devices whose ids begin with `prefix`, from InfluxDB 1.x. */
export async function readPoints(
  influx: { url: string; username?: string; password?: string; bucket: string },
  prefix: string,
): Promise<StoredReading[]> {
  const url = new URL("/query", influx.url);
  url.searchParams.set("db", influx.bucket);
  url.searchParams.set(
    "q",
    `SELECT counter FROM "judge" WHERE device_id =~ /^${prefix}-/ GROUP BY device_id`,
  );
  const headers = { authorization: `Basic ${btoa(`${influx.username}:${influx.password}`)}` };
  const answer = (await (await fetch(url, { headers })).json()) as {
    results: { series?: { tags: { device_id: string }; values: [string, number][] }[] }[];
  };
  return (answer.results[0]?.series ?? []).flatMap(({ tags, values }) =>
    values.map(([, seq]) => ({ device: tags.device_id, seq })),
  );
}
