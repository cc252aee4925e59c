import { accessSync, constants, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { chromium } from "playwright-core";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Opens the system's Chromium, without a window. */
export function openChromium(): Promise<Browser> {
  const executablePath = PLACES.find(isProgram);
  if (executablePath === undefined) throw new Error(`no Chromium at ${PLACES.join(", ")}`);
  // a container has neither user namespaces nor much shared memory
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** A page that notes what it complains about. */
export interface WatchedPage {
  page: Page;
  /** Errors that scripts threw, that the console showed, and requests that were answered with an error. */
  complaints: string[];
}

/** Opens a page of `context` and listens to it. */
export async function openWatched(context: BrowserContext): Promise<WatchedPage> {
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  return { page, complaints };
}

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** What axe finds against WCAG 2.2 A and AA: rule, and the elements, one line each. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  if (!(await page.evaluate("'axe' in window"))) {
    // the page's policy lets no script in that is not its own, so this one comes by the debugger
    await page.evaluate(readFileSync(AXE, "utf8"));
  }
  return page.evaluate(
    `axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }).then(({ violations }) =>
       violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) =>
         id + " at " + target.join(" ") + ": " + failureSummary.split("\\n").at(-1).trim())))`,
  );
}
