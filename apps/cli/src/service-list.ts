import { resolve } from "node:path";
import { CommandError } from "./command-error.ts";
import { ROOT } from "./environment.ts";

/** One service that `up` can run. */
export interface ServiceSpec {
  name: string;
  /** The consumer group it works for. */
  group?: string;
  /** Servers it needs besides Redis and PostgreSQL. */
  needs: readonly "influx"[];
  /** Takes input from outside, so it stops before those that work it off. */
  entrance?: boolean;
}

/** Every service, in the order of starting. */
export const SERVICES: readonly ServiceSpec[] = [
  { name: "stream-worker", group: "postgres", needs: [] },
  { name: "influx-writer", group: "influx", needs: ["influx"] },
  { name: "alert-worker", group: "alerts", needs: [] },
  { name: "etl-scheduler", needs: [] },
  { name: "ingest-gateway", needs: [], entrance: true },
  { name: "api", needs: [], entrance: true },
];

/** The built program of a service. */
export function entryOf(service: ServiceSpec): string {
  return resolve(ROOT, "services", service.name, "dist/main.js");
}

/** The services of a `--services` list. @throws CommandError naming what there is */
export function selectServices(list: string | undefined): readonly ServiceSpec[] {
  if (list === undefined || list.trim() === "") return SERVICES;
  const wanted = new Set(
    list
      .split(",")
      .map((name) => name.trim())
      .filter((name) => name !== ""),
  );
  for (const name of wanted) {
    if (SERVICES.some((service) => service.name === name)) continue;
    const known = SERVICES.map((service) => service.name).join(", ");
    throw new CommandError(`--services: there is no service "${name}"; there are ${known}`, 2);
  }
  return SERVICES.filter((service) => wanted.has(service.name));
}
