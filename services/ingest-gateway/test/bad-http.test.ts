import { request } from "node:http";
import { gzipSync } from "node:zlib";
import { expect } from "@jest/globals";
import { createDevice } from "@sluice/db";
import { waitFor } from "@sluice/testkit";
import { readCatalogue, runCatalogue } from "./catalogue.ts";
import { openRaw, PEPPER, rejectedOf, storedOf, useGateway } from "./use-gateway.ts";

const it = useGateway();
const port = () => it.gateway.ports.http ?? 0;
const JSON_TYPE = { "content-type": "application/json" };
const key = () => ({ "x-api-key": it.a.apiKey });

const post = (body: string | Uint8Array, headers: Record<string, string> = {}, path = "/api/v1/ingest") =>
  fetch(`${it.httpUrl}${path}`, { method: "POST", headers: { ...JSON_TYPE, ...key(), ...headers }, body });

/** Sends bytes as they are and gives the status line's code once the connection is closed. */
async function raw(text: string, timeoutMs = 5000): Promise<number> {
  const socket = await openRaw(port(), Buffer.from(text, "latin1"));
  await socket.untilClosed(timeoutMs);
  return Number(/^HTTP\/1\.1 (\d+)/.exec(socket.received().toString())?.[1] ?? 0);
}

const head = (lines: string[], path = "/api/v1/ingest", method = "POST") =>
  [
    `${method} ${path} HTTP/1.1`,
    "Host: x",
    "Connection: close",
    `X-API-Key: ${it.a.apiKey}`,
    ...lines,
    "",
    "",
  ].join("\r\n");

const API = "reading and management routes are the api's";

runCatalogue(
  "bad HTTP input",
  readCatalogue("bad-inputs").filter((entry) => entry.where === "http" || entry.id === "B069"),
  {
    B069: async () => {
      const bomb = gzipSync(Buffer.alloc(20_000_000, " "));
      const before = process.memoryUsage().rss;
      expect((await post(new Uint8Array(bomb), { "content-encoding": "gzip" })).status).toBe(413);
      expect(process.memoryUsage().rss - before).toBeLessThan(60_000_000);
    },
    B070: async () => {
      const bodies = new Set<string>();
      for (const headers of [
        {},
        { "X-API-Key": "" },
        { Authorization: "Bearer " },
        { "X-API-Key": "slk_no" },
      ]) {
        const answer = await fetch(`${it.httpUrl}/api/v1/ingest`, {
          method: "POST",
          headers: { ...JSON_TYPE, ...headers } as Record<string, string>,
          body: "{}",
        });
        expect(answer.status).toBe(401);
        bodies.add(await answer.text());
      }
      expect(bodies.size).toBe(1);
      expect((await post("{}", {}, `/api/v1/ingest?api_key=${it.a.apiKey}`)).status).toBe(401);
      const twice = head([
        "Authorization: Bearer a",
        `Authorization: Bearer ${it.a.apiKey}`,
        "Content-Length: 2",
      ]);
      expect(await raw(`${twice}{}`)).toBe(401);
      expect(await raw(head([]).replace(it.a.apiKey, `${it.a.apiKey}\nX: y`))).toBe(400);
    },
    B071: async () => {
      const gone = await createDevice(it.db, PEPPER, { id: "http_gone" });
      await waitFor(async () => (await post('{"x":1}', { "x-api-key": gone.apiKey })).status === 202);
      await it.db.execute("UPDATE iot.credentials SET status = 'disabled' WHERE username = $1", [
        gone.username,
      ]);
      await it.db.query("SELECT pg_notify('sluice_credentials', $1)", [gone.username]);
      await waitFor(async () => (await post('{"x":1}', { "x-api-key": gone.apiKey })).status === 403);
      expect((await post('{"x":1}', { "x-api-key": it.a.apiKey.slice(0, 12) })).status).toBe(401);
      expect(JSON.stringify(it.lines)).not.toContain(gone.apiKey);
    },
    B073: async () => {
      expect((await post('{"device_id":"esp32_002","idor":1}')).status).toBe(403);
      expect(JSON.stringify(await storedOf(it.bus))).not.toContain("idor");
    },
    B074: API,
    B075: API,
    B076: API,
    B078: async () => {
      expect((await post("")).status).toBe(400);
      expect((await post(`{"x":"${"y".repeat(11_000_000)}"}`).catch(() => ({ status: 413 }))).status).toBe(
        413,
      );
      expect((await post('{"x":')).status).toBe(400);
      expect((await rejectedOf(it.bus)).at(-1)).toMatchObject({ reason: "not_json", source: "http" });
      const both = ["Content-Type: application/json", "Content-Length: 5", "Transfer-Encoding: chunked"];
      expect(await raw(`${head(both)}0\r\n\r\n`)).toBe(400);
      expect(await raw(head(["Content-Type: application/json", "Content-Length: abc"]))).toBe(400);
    },
    B079: async () => {
      for (const type of [
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-7",
      ]) {
        expect((await post('{"x":1}', { "content-type": type })).status).toBe(415);
      }
      expect(await raw(`${head(["Content-Length: 7"])}{"x":1}`)).toBe(415);
    },
    B081: async () => {
      expect(await raw(head([`X-Long: ${"a".repeat(100_000)}`]))).toBe(431);
      expect(await raw(head(Array.from({ length: 2000 }, (_, i) => `X-${i}: aaaaaaaaaa`)))).toBe(431);
      expect([414, 431]).toContain(await raw(head([], `/${"a".repeat(65_536)}`)));
    },
    B082: async () => {
      for (const method of ["PUT", "DELETE", "PATCH", "GET", "HEAD", "OPTIONS"]) {
        const answer = await fetch(`${it.httpUrl}/api/v1/ingest`, {
          method,
          headers: { ...key(), origin: "http://evil" },
        });
        expect(answer.status).toBe(405);
        expect(answer.headers.get("access-control-allow-origin")).toBeNull();
      }
      expect([400, 404, 405]).toContain(await raw(head([], "/api/v1/ingest", "TRACE")));
      const connect = await openRaw(port(), Buffer.from("CONNECT evil:443 HTTP/1.1\r\nHost: evil\r\n\r\n"));
      await connect.untilClosed();
      expect(connect.received().toString()).not.toMatch(/^HTTP\/1\.1 2/);
    },
    B083: async () => {
      for (const path of ["/..%2f..%2fetc/passwd", "/%00", "/%", "//evil.com", "/static/....//"]) {
        expect([400, 404]).toContain(await raw(head([], path, "GET")));
      }
    },
    B084: async () => {
      const slowHead = await openRaw(port(), Buffer.from("POST /api/v1/ingest HTTP/1.1\r\nHost:"));
      const slowBody = await openRaw(
        port(),
        Buffer.from(`${head(["Content-Type: application/json", "Content-Length: 100"])}{`),
      );
      expect((await post('{"meanwhile":1}')).status).toBe(202);
      await Promise.all([slowHead.untilClosed(60_000), slowBody.untilClosed(60_000)]);
      expect(slowHead.received().toString()).toMatch(/^HTTP\/1\.1 408/);
    },
    B085: "the gateway calls no URL",
    B087: async () => {
      const headers = { "idempotency-key": "b087" };
      expect((await post('{"once":1}', headers)).status).toBe(202);
      expect((await post('{"once":1}', headers)).status).toBe(202);
      expect((await post('{"once":2}', headers)).status).toBe(422);
      const texts = (await storedOf(it.bus)).filter((m) => m.samples[0]?.readings[0]?.field === "once");
      expect(texts).toHaveLength(1);
    },
    B088: "the gateway streams nothing over HTTP",
    B090: "the gateway knows no cookies: a request without key header is 401",
    B091: async () => {
      const status = await new Promise<number>((resolve) => {
        const headers = { range: `bytes=0-,-1,${"0-1,".repeat(1000)}2-3`, "if-none-match": '"x"' };
        request(`${it.httpUrl}/api/v1/now`, { headers }, (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        }).end();
      });
      expect([200, 416]).toContain(status);
    },
  },
);
