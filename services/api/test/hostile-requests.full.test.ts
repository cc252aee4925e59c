import { expect, test } from "@jest/globals";
import { sendHostileRequests } from "./hostile-requests.ts";
import { useApi } from "./use-api.ts";

const it = useApi(() => ({ SLUICE_RATE_LIMIT: "100000000" }));

test("whatever is wrong with a request to any route, it is told so, and nothing fails here", async () => {
  const { sent, wrong } = await sendHostileRequests(it, 3);
  expect(wrong).toEqual([]);
  expect(sent).toBeGreaterThan(3000);
}, 500_000);
