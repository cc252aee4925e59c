import type { Server } from "@sluice/servers";
import type { Unit } from "./keep-running.ts";

/** A private server as a unit: it comes back on its port and data. */
export function createServerUnit(server: Server): Unit {
  return {
    name: server.name,
    get pid() {
      return server.pid;
    },
    start: () => server.restart(),
    exited: () => server.exited(),
    stop: () => server.stop(),
    kill: () => void server.kill("SIGKILL"),
  };
}
