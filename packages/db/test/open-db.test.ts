import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { checkDurability, type Db, openDb } from "@sluice/db";
import { InvalidInputError, OutageError } from "@sluice/shared-types";
import { startProxy, usePostgres, usePrivatePostgres, waitFor } from "@sluice/testkit";

const postgres = usePostgres();
const own = usePrivatePostgres({ settings: { synchronous_commit: "off" } });
let db: Db;
beforeAll(async () => {
  db = await openDb(postgres.url);
  await db.query("CREATE TABLE t (x INT PRIMARY KEY)");
});
afterAll(() => db?.close());

test("a COMMIT that rolls back is an error, whoever swallowed the statement's", async () => {
  const swallowing = db.transaction(async (tx) => {
    await tx.query("INSERT INTO t VALUES (1)");
    await tx.query("SELECT 1 / 0").catch(() => {});
  });
  await expect(swallowing).rejects.toThrow(/ended in ROLLBACK/);
  expect(await db.query("SELECT * FROM t")).toEqual([]);
});

test.each(["SELECT 1 / 0", "SELECT 'x'::int", "INSERT INTO t VALUES (5), (5)", "SELECT E'\\xff'"])(
  "%p is bad input",
  async (sql) => {
    await expect(db.query(sql)).rejects.toBeInstanceOf(InvalidInputError);
  },
);

test.each(["SELECT * FROM nowhere", "SELEC 1"])("%p is a defect", async (sql) => {
  const error = await db.query(sql).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(Error);
  expect(error).not.toBeInstanceOf(OutageError);
  expect(error).not.toBeInstanceOf(InvalidInputError);
});

test("a lock that is not given and a statement that takes too long are outages, and the connection lives on", async () => {
  await db.transaction(async (holder) => {
    await holder.query("LOCK TABLE t");
    const waiting = db.transaction((tx) => tx.query("SELECT * FROM t"), { lockTimeoutMs: 50 });
    await expect(waiting).rejects.toBeInstanceOf(OutageError);
  });
  const slow = db.transaction((tx) => tx.query("SELECT pg_sleep(5)"), { statementTimeoutMs: 50 });
  await expect(slow).rejects.toBeInstanceOf(OutageError);
  expect(await db.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
});

test("a savepoint undoes its own work only", async () => {
  await db.transaction(async (tx) => {
    await tx.query("INSERT INTO t VALUES (10)");
    await expect(tx.savepoint(() => tx.query("INSERT INTO t VALUES (11), (10)"))).rejects.toBeInstanceOf(
      InvalidInputError,
    );
    await tx.savepoint(() => tx.query("INSERT INTO t VALUES (12)"));
  });
  expect(await db.query("SELECT x FROM t ORDER BY x")).toEqual([{ x: 10 }, { x: 12 }]);
});

test("a COPY that the server refuses rejects, and the connection lives on", async () => {
  const refused = db.transaction((tx) =>
    tx.copyIn("COPY t FROM STDIN (FORMAT binary)", Buffer.from("nonsense")),
  );
  await expect(refused).rejects.toThrow(/COPY file signature not recognized/);
  expect(await db.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
});

test("statements of a transaction, a COPY among them, need not wait for one another's answers", async () => {
  const sent: string[] = [];
  const proxy = await startProxy(Number(new URL(postgres.url).port), {
    observe: () => ({ request: (chunk) => void sent.push(chunk.toString("latin1")) }),
  });
  const far = await openDb(postgres.url.replace(/:\d+\//, `:${proxy.port}/`));
  try {
    const answers = await far.transaction(async (tx) => {
      proxy.pause();
      const all = Promise.all([
        tx.query("SELECT 'first' AS word"),
        tx.copyIn("COPY t FROM STDIN", Buffer.from("100\n101\n")),
        tx.query("SELECT x FROM t WHERE x >= 100 AND 'third' = 'third' ORDER BY x"),
      ]);
      await waitFor(() => sent.join("").includes("third"));
      proxy.resume();
      return all;
    });
    expect(answers).toEqual([[{ word: "first" }], 2, [{ x: 100 }, { x: 101 }]]);
  } finally {
    await far.close();
    await proxy.close();
  }
});

test.each([
  ["its rows", "COPY t FROM STDIN", "201\n201\n", InvalidInputError],
  ["the statement", "COPY nowhere FROM STDIN", "201\n", Error],
])("a COPY refused for %s undoes what was sent before and after it", async (_, statement, data, kind) => {
  const refused = db.transaction((tx) =>
    Promise.all([
      tx.query("INSERT INTO t VALUES (200)"),
      tx.copyIn(statement, Buffer.from(data)),
      tx.query("INSERT INTO t VALUES (202)"),
    ]),
  );
  const error = await refused.catch((e: unknown) => e);
  expect(error).toBeInstanceOf(kind);
  expect(String(error)).not.toMatch(/transaction is aborted/);
  expect(await db.query("SELECT x FROM t WHERE x >= 200")).toEqual([]);
});

test("a server that loses commits in a power cut is refused unless that is accepted", async () => {
  const unsafe = await openDb(own.url);
  try {
    await expect(checkDurability(unsafe, false)).rejects.toThrow(
      /synchronous_commit off.*SLUICE_ALLOW_UNSAFE/,
    );
    await checkDurability(unsafe, true);
  } finally {
    await unsafe.close();
  }
});

test("a server that is gone is an outage, during a transaction and before the next; it is back when it is", async () => {
  const mine = await openDb(own.url);
  try {
    const cut = mine.transaction(async (tx) => {
      await tx.query("SELECT 1");
      own.kill("SIGKILL");
      await tx.query("SELECT pg_sleep(10)");
    });
    await expect(cut).rejects.toBeInstanceOf(OutageError);
    await expect(mine.query("SELECT 1")).rejects.toBeInstanceOf(OutageError);
    await own.restart();
    await waitFor(async () => (await mine.query("SELECT 1").catch(() => [])).length === 1);
  } finally {
    await mine.close();
  }
});
