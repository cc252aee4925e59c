import { createHmac } from "node:crypto";
import { createServer, type Server } from "node:http";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { createDevice, listNotifications, putChannel } from "@sluice/db";
import { type AlertNews, streamKey } from "@sluice/shared-types";
import { waitFor } from "@sluice/testkit";
import { SMTPServer } from "smtp-server";
import { createWebhook } from "../src/send-webhook.ts";
import { useWorker } from "./use-worker.ts";

const it = useWorker();
const hooks: { key: string; signature: string; text: string; body: AlertNews }[] = [];
let secret = "";
const mails: string[] = [];
let refusals = 1;
let http: Server;
let smtp: SMTPServer;
let url = "";

beforeAll(async () => {
  http = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk) => {
      text += chunk;
    });
    request.on("end", () => {
      if (request.url === "/away") return response.writeHead(307, { location: "/hook" }).end();
      if (request.url === "/hook" && refusals-- > 0) return response.writeHead(503).end();
      const { "idempotency-key": key, "sluice-signature": signature } = request.headers;
      hooks.push({ key: String(key), signature: String(signature), text, body: JSON.parse(text) });
      return response.writeHead(204).end();
    });
  });
  smtp = new SMTPServer({
    authOptional: true,
    disabledCommands: ["STARTTLS"],
    onData: (stream, _session, done) => {
      let text = "";
      stream.on("data", (chunk) => {
        text += chunk;
      });
      stream.on("end", () => {
        mails.push(text);
        done();
      });
    },
  });
  const port = await new Promise<number>((resolve) => {
    http.listen(0, "127.0.0.1", () => resolve((http.address() as { port: number }).port));
  });
  url = `http://127.0.0.1:${port}`;
  const mailPort = await new Promise<number>((resolve) => {
    const server = smtp.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
  });
  for (const [name, target] of [
    ["hook", `${url}/hook`],
    ["away", `${url}/away`],
    ["inside", "http://169.254.169.254/latest/meta-data"],
  ] as const) {
    const channel = { name, kind: "webhook" as const, target, minSeverity: "info" as const, active: true };
    const made = await putChannel(it.db, channel);
    if (name === "hook") secret = made.secret ?? "";
  }
  const mail = { name: "mail", kind: "email" as const, target: "ada@example.org", active: true };
  await putChannel(it.db, { ...mail, minSeverity: "critical" });
  it.start({ SLUICE_WEBHOOK_ALLOW: "127.0.0.1/32", SLUICE_SMTP_URL: `smtp://127.0.0.1:${mailPort}` });
});
afterAll(async () => {
  http.close();
  await new Promise<void>((resolve) => smtp.close(() => resolve()));
});

const lines = async (alertId: number) =>
  Object.fromEntries(
    (await listNotifications(it.db, { alertId }, 100)).map((line) => [`${line.channel} ${line.event}`, line]),
  );
/** Sends what waits for its next try at once. */
const hurry = () =>
  it.db.execute("UPDATE alert.notification_log SET next_attempt_at = now() WHERE status = 'pending'");

test("an alert is told on every channel once, tried again where it is refused, and so is its end", async () => {
  await createDevice(it.db, "pepper-of-the-tests", { id: "oven" });
  const rule = await it.rule({ device: "oven", channels: null });
  await it.send("oven", { fields: { temperature: 31 } });
  const [alert] = await waitFor(
    async () => {
      const found = await it.db.query<{ id: number }>("SELECT id FROM alert.alerts WHERE rule_id = $1", [
        rule.id,
      ]);
      return found.length > 0 && found;
    },
    { timeoutMs: 30_000 },
  );
  const id = alert?.id ?? 0;
  await waitFor(async () => (await lines(id))["hook raised"]?.attempts === 1, { timeoutMs: 30_000 });
  await waitFor(async () => (await lines(id))["mail raised"]?.status === "sent", { timeoutMs: 30_000 });
  await hurry();
  await waitFor(async () => (await lines(id))["hook raised"]?.status === "sent", { timeoutMs: 30_000 });
  const told = await lines(id);
  expect(told["mqtt raised"]).toMatchObject({ status: "sent" });
  expect(told["away raised"]).toMatchObject({ status: "pending", error: `${url} answered 307` });
  expect(told["inside raised"]?.error).toMatch(/not allowed/);
  expect(hooks).toMatchObject([
    { body: { event: "raised", device: "oven", value: 31, severity: "critical" } },
  ]);
  expect(hooks[0]?.key).toBe(hooks[0]?.body.key);
  // as a receiver checks it, after docs/alerts.md
  const [, at, digest] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(hooks[0]?.signature ?? "") ?? [];
  expect(Math.abs(Date.now() / 1000 - Number(at))).toBeLessThan(300);
  expect(secret).toMatch(/^whsec_[A-Za-z0-9]{43}$/);
  expect(digest).toBe(createHmac("sha256", secret).update(`${at}.${hooks[0]?.text}`).digest("hex"));
  expect(mails).toHaveLength(1);
  expect(mails[0]).toContain("Subject: [critical] too warm: temperature of oven is above 30");
  expect(mails[0]?.replaceAll(/=\r?\n/g, "")).toContain(`./sluice alerts ack ${id}`);
  const news = await it.bus.browse(streamKey("commands"), { from: "-", count: 10 });
  expect(news.flatMap(({ messages }) => messages.map((text) => JSON.parse(text).alert.event))).toEqual([
    "raised",
  ]);

  await it.send("oven", { fields: { temperature: 20 } });
  await it.judged();
  await waitFor(async () => (await lines(id))["hook resolved"]?.status === "sent", { timeoutMs: 30_000 });
  await hurry();
  await waitFor(async () => (await lines(id))["inside raised"]?.status === "superseded", {
    timeoutMs: 30_000,
  });
  expect(hooks.map(({ body }) => body.event)).toEqual(["raised", "resolved"]);
});

test("what was over before it could be told is not told at all", async () => {
  await createDevice(it.db, "pepper-of-the-tests", { id: "flicker" });
  const rule = await it.rule({ device: "flicker", channels: ["hook"] });
  const before = hooks.length;
  await it.send("flicker", { fields: { temperature: 31 }, minutesAgo: 1 }, { fields: { temperature: 20 } });
  await it.judged();
  const statuses = () =>
    it.db.query<{ status: string }>(
      "SELECT n.status FROM alert.notification_log n JOIN alert.alerts a ON a.id = n.alert_id WHERE a.rule_id = $1",
      [rule.id],
    );
  await waitFor(
    async () => {
      const found = await statuses();
      return found.length === 2 && found.every(({ status }) => status === "superseded");
    },
    { timeoutMs: 30_000 },
  );
  expect(hooks).toHaveLength(before);
});

test("a webhook reaches no address inside, however it is written or resolved", async () => {
  const send = createWebhook([]);
  const notification = (target: string) =>
    ({
      ...{
        id: 1,
        event: "raised",
        dedupeKey: "x",
        attempts: 0,
        channel: { kind: "webhook", name: "x", target, secret: null },
      },
      alert: { triggeredAt: new Date(), resolvedAt: null },
    }) as Parameters<typeof send>[0];
  const { port } = new URL(url);
  const inside = [
    ...[
      "http://127.0.0.1:6379/",
      "http://169.254.169.254/",
      "http://[::1]/",
      "http://0x7f000001/",
      "http://2130706433/",
    ],
    ...[
      "http://10.0.0.1/",
      "http://192.168.1.1/",
      "http://0.0.0.0/",
      "http://[::ffff:127.0.0.1]/",
      "https://localhost/",
    ],
    ...["http://[fd00::1]/", "http://[::]/", `http://localhost:${port}/hook`, "http://100.64.0.1/"],
  ];
  const heard = hooks.length;
  for (const target of inside) await expect(send(notification(target))).rejects.toThrow(/not allowed/);
  for (const target of ["file:///etc/passwd", "gopher://example.org/", "not a url"]) {
    await expect(async () => send(notification(target))).rejects.toThrow();
  }
  expect(hooks).toHaveLength(heard);
});
