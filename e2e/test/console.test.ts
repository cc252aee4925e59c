import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { openBus } from "@sluice/bus";
import { streamKey } from "@sluice/shared-types";
import { type Installation, startInstallation, waitFor } from "@sluice/testkit";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { accessibilityFaults, openChromium, openWatched } from "../src/browser.ts";

const run = promisify(execFile);
const HOUR_MS = 3_600_000;
const MAIN = [
  "/",
  "/devices",
  "/devices/shed-1",
  "/explore?s=shed-1/temperature&last=6h",
  "/streams?tab=quarantine",
  "/jobs",
  "/alerts",
  "/settings",
];
const FURTHER = [
  "/devices?tab=groups",
  "/devices/new",
  "/devices/shed-1#connect",
  "/devices/shed-1#commands",
  "/devices/shed-1#trace",
  "/devices/shed-1#settings",
  "/streams",
  "/alerts?tab=rules",
  "/alerts?tab=channels",
  "/alerts?tab=limits",
  "/settings?tab=keys",
  "/settings?tab=retention",
  "/settings?tab=audit",
  "/settings?tab=password",
];

let sluice: Installation;
let base: string;
/** Process of stream-worker. */
let worker: number;
let browser: Browser;
let context: BrowserContext;
let page: Page;
let complaints: string[];
/** The line that the wizard shows, with the secrets of the new device. */
let line: string;

beforeAll(async () => {
  sluice = await startInstallation();
  const status = await sluice.untilReady();
  base = status.httpUrl;
  worker = status.services.find(({ name }) => name === "stream-worker")?.pid ?? 0;
  browser = await openChromium();
  context = await browser.newContext({ viewport: { width: 1400, height: 900 } });
  ({ page, complaints } = await openWatched(context));
});

afterAll(async () => {
  await browser?.close();
  await sluice?.stop();
});

const send = (payload: string) => run("sh", ["-c", line.replace(/-m '.*'$/, `-m '${payload}'`)]);
const button = (name: string | RegExp) => page.getByRole("button", { name });
const goTo = (name: string) => page.getByRole("navigation").getByRole("link", { name }).click();
const hop = (name: string, state: string) => page.locator(`[data-hop="${name}"][data-state="${state}"]`);

/** Claims what a consumer of the group has in hand; one that is gone sees to it that there is something. */
async function takeAway(group: string): Promise<void> {
  const bus = await openBus(sluice.urls().redisUrl);
  try {
    const gone = await bus.reader({ stream: streamKey("telemetry"), group, consumer: "gone" });
    await gone.read(1, 100);
    await goTo("Streams");
    await button(new RegExp(`^Pending entries of ${group}`))
      .first()
      .click();
    await page
      .getByRole("checkbox", { name: /^Choose \d+-\d+/ })
      .first()
      .check();
    expect(await accessibilityFaults(page)).toEqual([]);
    await button("Claim for another consumer").click();
    await page.getByRole("checkbox", { name: /^Choose/, checked: true }).waitFor({ state: "detached" });
    await button("Close").last().click();
  } finally {
    await bus.close();
  }
}

describe("a stranger with the printed address", () => {
  test("logs in with the printed password, and is told what a wrong one is", async () => {
    const [, email = "", password = ""] = await sluice.printed(/email (\S+) +password (\S+)\n/);
    await page.goto(base);
    expect(new URL(page.url()).pathname).toBe("/console/");
    await page.getByLabel("E-mail address").fill(email);
    await page.getByLabel("Password").fill("not this one");
    await button("Log in").click();
    await page.getByRole("alert").getByText("address or password is wrong").waitFor();
    complaints.length = 0; // that the browser notes a 401 there is as it should be
    await page.getByLabel("Password").fill(password);
    await button("Log in").click();
    await page.getByRole("heading", { level: 1, name: "Flow" }).waitFor();
    await page.getByText("Everything runs; no message has come yet").waitFor();
  });

  test("adds a device with the wizard, pastes its line and sees the reading live", async () => {
    await page.getByRole("link", { name: "Connect your first device" }).click();
    await page.getByLabel("Device id").fill("shed-1");
    await page.getByLabel("Where it is").fill("Behind the house");
    await button("Add it").click();
    await page.getByText("Listening for its first reading").waitFor();
    line = (await page.locator("pre", { hasText: "mosquitto_pub" }).textContent()) ?? "";
    await send('{"seq": 1, "temperature": 21.5, "humidity": 61}');
    await page.getByText("It is here").waitFor();
    await page.getByRole("img", { name: /temperature, live: 1 readings/ }).waitFor();
    await send('{"seq": 2, "temperature": 22.25, "humidity": 60}');
    await page.getByRole("img", { name: /temperature, live: 2 readings, the last 22.25/ }).waitFor();
    await page.getByRole("link", { name: "Go to the device" }).click();
    await page.getByRole("cell", { name: "22.25" }).waitFor();
    await button("temperature").click();
    await page.getByRole("img", { name: "temperature of shed-1 in the last hour" }).waitFor();
  });

  test("traces a message by its number", async () => {
    await button("Trace").click();
    await page.getByLabel("Sequence number").fill("2");
    await button("Trace it").click();
    await page
      .getByText(/stored/i)
      .first()
      .waitFor();
  });

  test("sees on Flow that a service is stopped, what waits for it, and that it runs again", async () => {
    await goTo("Flow");
    await hop("stream-worker", "up").waitFor();
    expect(worker).toBeGreaterThan(1);
    process.kill(worker, "SIGSTOP");
    try {
      await hop("stream-worker", "stopped").waitFor({ timeout: 40_000 });
      await send('{"seq": 3, "temperature": 23}');
      await page.getByText("stream-worker is stopped").waitFor();
      await page.getByText(/1 messages? waits? for it/).waitFor();
      await takeAway("postgres");
      await goTo("Flow");
    } finally {
      process.kill(worker, "SIGCONT");
    }
    await hop("stream-worker", "up").waitFor();
    await page.getByText("Everything flows").waitFor();
  });

  test("mends a broken payload in quarantine and replays it after a preview", async () => {
    await send('{"temperature": 24.75, "humidity": oops}');
    await page.getByRole("link", { name: "Fix and replay it" }).click();
    await page.getByRole("dialog").getByText("not_json").waitFor();
    await page.getByLabel("Payload").fill('{"temperature": 24.75, "humidity": 58}');
    await button("Save and check").click();
    await page.getByText("It can be replayed").waitFor();
    await button("Replay …").last().click();
    await page
      .getByRole("dialog", { name: /Replay refusal/ })
      .getByText("It can be replayed")
      .waitFor();
    await button("Replay 1").click();
    await page.getByRole("dialog", { name: "Refusal 1", exact: true }).waitFor({ state: "detached" });
    await page.getByText("Quarantine is empty").waitFor();
    await waitFor(async () => (await sluice.sluice("ledger")).includes("balanced"), { timeoutMs: 20_000 });
    await goTo("Devices");
    await page.getByRole("link", { name: "shed-1" }).click();
    await page.getByRole("cell", { name: "24.75" }).waitFor();
  });

  test("discards what is not worth mending", async () => {
    await send("{nothing");
    await goTo("Streams");
    await button("Quarantine").click();
    await page.getByRole("checkbox", { name: /^Choose/ }).check();
    await button("Discard …").click();
    expect(await accessibilityFaults(page)).toEqual([]);
    await button("Discard").last().click();
    await page.getByText("Quarantine is empty").waitFor();
  });

  test("tries a rule on past readings, saves it, and looks at the alert that it raises", async () => {
    await goTo("Alerts");
    await button("Rules").click();
    await button("Add a rule").click();
    const dialog = page.getByRole("dialog", { name: "Add a rule" });
    await dialog.getByLabel("Name").fill("Shed too warm");
    await dialog.getByLabel("Of which readings").fill("temperature");
    await dialog.getByLabel("Limit").fill("24.5");
    await dialog.getByText("Who is told, and when it becomes worse").click();
    await dialog.getByLabel("While nobody acknowledges it").selectOption("own");
    await button("Try it on the last week").click();
    await dialog.getByText(/It would have raised 1 alert/).waitFor();
    expect(await accessibilityFaults(page)).toEqual([]);
    await button("Save").click();
    await page.getByRole("cell", { name: "temperature above 24.5" }).waitFor();
    await button("Active").click();
    const look = button(/^I look at it ?: Shed too warm/);
    // alert-worker hears of the rule a moment later
    await waitFor(
      async () => {
        await send('{"temperature": 40}');
        return (await look.count()) > 0;
      },
      { timeoutMs: 30_000, intervalMs: 1000, what: "the alert" },
    );
    await look.click();
    await page.getByText("Nothing is wrong").waitFor();
    await button("Acknowledged").click();
    await page.getByRole("cell", { name: /Shed too warm/ }).waitFor();
  });

  test("previews a backfill and applies exactly that", async () => {
    const samples = Array.from({ length: 60 }, (_, i) => ({
      ts: new Date(Date.now() - 5 * HOUR_MS + i * 240_000).toISOString(),
      temperature: 18 + (i % 7),
    }));
    await send(JSON.stringify(samples));
    await goTo("Jobs");
    await button(/^Backfill … ?hourly/).click();
    await page.getByLabel("The last days").fill("1");
    const apply = button(/^Apply \d+ changes$/);
    await waitFor(
      async () => {
        await button("Show what would change").click();
        await page
          .getByText(/rows? of|Nothing would change|bi\.hourly_sensor_agg/)
          .first()
          .waitFor();
        return apply.isEnabled();
      },
      { timeoutMs: 30_000, what: "something to backfill" },
    );
    await page.getByRole("region", { name: "What would change" }).getByText("new").first().waitFor();
    await apply.click();
    await page.getByText(/Applied: \d+ rows changed/).waitFor();
    await button("Close").last().click();
  });

  test("explores: a drag zooms in, the address shows the same again, and the data leave as CSV", async () => {
    await page.goto(`${base}/console/explore?s=shed-1/temperature&last=6h`);
    const chart = page.locator(".chart .u-over");
    await page.getByRole("cell", { name: /^shed-1\/temperature/ }).waitFor();
    const box = await chart.boundingBox();
    if (box === null) throw new Error("the chart is not there");
    await page.mouse.move(box.x + box.width * 0.25, box.y + 100);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.75, box.y + 120, { steps: 5 });
    await page.mouse.up();
    await page.waitForURL(/from=.*to=/);
    const params = new URL(page.url()).searchParams;
    const length = Date.parse(params.get("to") ?? "") - Date.parse(params.get("from") ?? "");
    expect(length / HOUR_MS).toBeCloseTo(3, 0);
    await page.reload();
    await page.getByRole("cell", { name: /^shed-1\/temperature/ }).waitFor();
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name: "CSV of shed-1/temperature" }).click(),
    ]);
    expect(download.suggestedFilename()).toBe("shed-1_temperature.csv");
  });
});

describe("every page", () => {
  test("has nothing to complain about, in light and dark, wide and on a phone", async () => {
    const faults: string[] = [];
    for (const [scheme, width, paths] of [
      ["light", 1400, [...MAIN, ...FURTHER]],
      ["dark", 390, MAIN],
    ] as const) {
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
      await page.setViewportSize({ width, height: 850 });
      for (const path of paths) {
        await page.goto(`${base}/console${path}`);
        await page.getByRole("heading", { level: 1 }).waitFor();
        await page.locator(".skeleton").first().waitFor({ state: "detached" });
        const found = await accessibilityFaults(page);
        const wide = await page.evaluate("document.scrollingElement.scrollWidth > innerWidth");
        faults.push(
          ...found.map((fault) => `${path} ${scheme}: ${fault}`),
          ...(wide ? [`${path}: wider than ${width}`] : []),
        );
      }
    }
    expect(faults).toEqual([]);
  }, 300_000);

  test("comes in less than 300 kB, and its files may be kept", async () => {
    const index = await fetch(`${base}/console/`);
    expect(index.headers.get("content-security-policy")).toContain("script-src 'self'");
    const files = [...(await index.text()).matchAll(/\/console\/assets\/[\w.-]+/g)].map(([path]) => path);
    expect(files.length).toBeGreaterThan(1);
    let bytes = 0;
    for (const path of files) {
      const answer = await fetch(base + path, { headers: { "accept-encoding": "br" } });
      expect(answer.headers.get("cache-control")).toContain("immutable");
      expect(answer.headers.get("content-encoding")).toBe("br");
      bytes += Number(answer.headers.get("content-length"));
    }
    expect(bytes).toBeLessThan(300_000);
  });

  test("works with the keyboard alone: search opens with a stroke, and Esc closes it", async () => {
    await page.setViewportSize({ width: 1400, height: 900 });
    await page.goto(`${base}/console/`);
    await page.getByRole("heading", { level: 1, name: "Flow" }).waitFor();
    await page.keyboard.press("Tab");
    expect(await page.evaluate("document.activeElement.textContent")).toBe("Skip to the page");
    await page.keyboard.press("/");
    await page.getByRole("combobox", { name: /Search devices/ }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.keyboard.press("/");
    await page.keyboard.type("shed-1");
    await page.getByRole("option", { name: /^shed-1 ?device/ }).waitFor();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: "shed-1" }).waitFor();
  });

  test("writes nothing to the browser's console", () => {
    expect(complaints).toEqual([]);
  });

  test("is gone once one has logged out", async () => {
    await button("Log out").click();
    await page.getByLabel("Password").waitFor();
    await page.goto(`${base}/console/devices`);
    await page.getByLabel("Password").waitFor();
  });
});
