import type { Deps } from "../../deps.ts";
import type { App } from "../../server.ts";
import { addChannelRoutes } from "./channels.ts";
import { addDocumentRoutes } from "./document.ts";
import { addListRoutes } from "./list.ts";
import { addPreviewRoute } from "./preview.ts";
import { addQualityRoutes } from "./quality.ts";
import { addRuleRoutes } from "./rules.ts";

/** Alerts, the rules that raise them, who is told, and what readings are doubtful. */
export function addAlertRoutes(app: App, deps: Deps): void {
  addListRoutes(app, deps);
  addRuleRoutes(app, deps);
  addPreviewRoute(app, deps);
  addChannelRoutes(app, deps);
  addQualityRoutes(app, deps);
  addDocumentRoutes(app, deps);
}
