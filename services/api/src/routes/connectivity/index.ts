import type { Deps } from "../../deps.ts";
import type { Publish } from "../../publish.ts";
import type { App } from "../../server.ts";
import { addAdminRoutes } from "./admin.ts";
import { addControlRoutes } from "./control.ts";
import { addDeviceRoutes } from "./devices.ts";
import { addMqttRoutes } from "./mqtt.ts";
import { addTelemetryRoutes } from "./telemetry.ts";

/** Document B's routes of devices, telemetry, MQTT and administration. */
export function addConnectivityRoutes(app: App, deps: Deps, publish: Publish): void {
  addDeviceRoutes(app, deps, publish);
  addControlRoutes(app, deps);
  addTelemetryRoutes(app, deps);
  addMqttRoutes(app, deps);
  addAdminRoutes(app, deps);
}
