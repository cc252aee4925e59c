import { openInflux } from "@sluice/influx";
import { askReady } from "../ready.ts";
import type { State } from "../state.ts";
import { type Finding, fine, problem } from "./finding.ts";

const VERSIONS = { 1: 1, 2: 2, 3: 3 } as const;

/** Whether each service of a running installation is ready. */
export function checkServices(state: State): Promise<Finding[]> {
  return Promise.all(
    state.services.map(async ({ name, opsPort, restarts }) => {
      const { ready, failing } = await askReady(state.host, opsPort);
      if (ready) return fine(name, restarts === 0 ? "ready" : `ready, restarted ${restarts} times`);
      return problem(name, `not ready: ${failing.join(", ")}`, `see logs/${name}.log in the data folder`);
    }),
  );
}

/** Whether InfluxDB answers with these credentials. */
export async function checkInflux(access: NonNullable<State["influx"]>): Promise<Finding> {
  const { username, password, token, version, ...rest } = access;
  const login = {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(token === undefined ? {} : { token }),
  };
  const influx = openInflux({ ...rest, ...login, version: VERSIONS[version], timeoutMs: 4_000 });
  try {
    await influx.ping();
    return fine("influx", `version ${access.version} answers at ${access.url}`);
  } catch (error) {
    const found = `does not answer: ${error instanceof Error ? error.message : String(error)}`;
    return problem("influx", found, "start it, or correct INFLUXDB_URL and its credentials");
  } finally {
    await influx.close();
  }
}
