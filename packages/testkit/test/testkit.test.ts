import { connect } from "node:net";
import { describe, expect, it } from "@jest/globals";
import { openDb } from "@sluice/db";
import {
  createDatabase,
  startProxy,
  usePostgres,
  usePrivatePostgres,
  useRedis,
  waitFor,
} from "../src/index.ts";

describe("databases", () => {
  const shared = usePostgres();
  const own = usePrivatePostgres();

  it("gives every test file a migrated database of its own", async () => {
    const other = await createDatabase(shared.url);
    for (const url of [shared.url, other, own.url]) {
      const db = await openDb(url);
      const tables = await db.query("SELECT FROM information_schema.tables WHERE table_name = 'measurement'");
      expect(tables).toHaveLength(1);
      await db.close();
    }
    expect(other).not.toBe(shared.url);
  });

  it("keeps what was committed when a private server is killed", async () => {
    const before = await openDb(own.url);
    await before.query("CREATE TABLE kept AS SELECT 1 AS n");
    await before.close();
    await own.kill("SIGKILL");
    await own.restart();
    const after = await openDb(own.url);
    expect(await after.query("SELECT n FROM kept")).toEqual([{ n: 1 }]);
    await after.close();
  });
});

describe("the fault proxy", () => {
  const redis = useRedis();

  it("passes bytes on, loses replies, holds and cuts", async () => {
    const proxy = await startProxy(redis.port);
    const said: string[] = [];
    let closed = false;
    const socket = connect(proxy.port, "127.0.0.1");
    socket.on("data", (chunk) => said.push(String(chunk)));
    socket.on("error", () => {});
    socket.on("close", () => {
      closed = true;
    });
    socket.write("PING\r\n");
    await waitFor(() => said.join("") === "+PONG\r\n");
    proxy.dropReplies();
    socket.write("SET k 1\r\n");
    proxy.pause();
    socket.write("INCR k\r\n");
    proxy.dropReplies(false);
    expect(said.join("")).toBe("+PONG\r\n");
    proxy.resume();
    await waitFor(() => said.join("").endsWith(":2\r\n"));
    proxy.cutAll();
    await waitFor(() => closed);
    expect(proxy.accepted).toBe(1);
    await proxy.close();
  });
});

describe("waitFor", () => {
  it("names what it waited for and the last answer", async () => {
    await expect(waitFor(() => false, { timeoutMs: 30, what: "Godot" })).rejects.toThrow(
      /ms for Godot; last: false/,
    );
  });
});
