import { DEFAULT_CLOCK_POLICY } from "@sluice/shared-types";
import type { AuthDeps } from "../authenticate.ts";
import type { Deps } from "../deps.ts";
import type { Forward } from "../forward.ts";
import { createPublish } from "../publish.ts";
import type { App } from "../server.ts";
import { addAccountRoutes } from "./accounts.ts";
import { addAlertRoutes } from "./alerts/index.ts";
import { addCalibrationRoutes } from "./calibrations.ts";
import { addCeaRoutes } from "./cea.ts";
import { addCommandRoutes } from "./commands.ts";
import { addConnectivityRoutes } from "./connectivity/index.ts";
import { addConsoleRoutes } from "./console.ts";
import { addCredentialRoutes } from "./credentials.ts";
import { addEtlRoutes } from "./etl.ts";
import { addFlowRoutes } from "./flow.ts";
import { addInfluxRoutes } from "./influxdb.ts";
import { addIngestRoutes } from "./ingest.ts";
import { addJobRoutes } from "./jobs.ts";
import { addLiveRoutes } from "./live.ts";
import { addMachineRoutes } from "./machines.ts";
import { addMeasurementRoutes } from "./measurement.ts";
import { addPlaceRoutes } from "./places.ts";
import { addProcessingRoutes } from "./processing.ts";
import { addPublicRoutes } from "./public.ts";
import { addRegistryRoutes } from "./registry.ts";
import { addRetentionRoutes } from "./retention.ts";
import { addSeriesRoutes } from "./series.ts";
import { addSessionRoutes } from "./session.ts";
import { addStreamRoutes } from "./streams.ts";
import { addTraceRoutes } from "./trace.ts";
import { addWaterRoutes } from "./water.ts";

/** Every route of the api. */
export function addRoutes(app: App, deps: Deps, auth: AuthDeps, forward: Forward): void {
  const { config } = deps;
  const publish = createPublish(deps.bus, {
    clock: { ...DEFAULT_CLOCK_POLICY, maxFutureMs: config.MAX_FUTURE },
    partitions: config.SLUICE_PARTITIONS,
    groups: config.SLUICE_SINKS,
  });
  addPublicRoutes(app, deps);
  addSessionRoutes(app, deps);
  addAccountRoutes(app, deps);
  addRegistryRoutes(app, deps);
  addPlaceRoutes(app, deps);
  addCalibrationRoutes(app, deps);
  addCredentialRoutes(app, deps);
  addSeriesRoutes(app, deps);
  addFlowRoutes(app, deps);
  addStreamRoutes(app, deps);
  addTraceRoutes(app, deps);
  addJobRoutes(app, deps);
  addRetentionRoutes(app, deps);
  addAlertRoutes(app, deps);
  addLiveRoutes(app, deps);
  addIngestRoutes(app, deps, auth, forward, publish);
  addMachineRoutes(app, deps);
  addMeasurementRoutes(app, deps, publish);
  addCeaRoutes(app, deps);
  addConnectivityRoutes(app, deps, publish);
  addCommandRoutes(app, deps);
  addEtlRoutes(app, deps);
  addInfluxRoutes(app, deps);
  addWaterRoutes(app, deps);
  addProcessingRoutes(app, deps);
  addConsoleRoutes(app, deps);
}
