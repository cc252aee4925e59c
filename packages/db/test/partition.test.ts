import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Db, ensurePartitions, openDb, weekOf } from "@sluice/db";
import { usePostgres, waitFor } from "@sluice/testkit";

const postgres = usePostgres();
let db: Db;
beforeAll(async () => {
  db = await openDb(postgres.url, { max: 4 });
});
afterAll(() => db?.close());

test("a session that waited for another one to make its partition goes on with that one", async () => {
  const time = new Date(Date.UTC(2020, 7, 16));
  let second: Promise<void> | undefined;
  await db.transaction(async (first) => {
    await first.query("SELECT public.ensure_measurement_partition($1, $1)", [time]);
    second = ensurePartitions(db, [weekOf(time.getTime() * 1000)]);
    await waitFor(async () => (await db.query("SELECT FROM pg_locks WHERE NOT granted")).length > 0);
  });
  await second;
  const made = await db.query(
    "SELECT FROM pg_class WHERE relname = 'measurement_2020w33' AND relispartition",
  );
  expect(made).toHaveLength(1);
});
