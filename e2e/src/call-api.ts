/** An answer of any route. */
export interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape
  json: any;
}

/** Calls a route, named as in the documents: `POST /api/v1/nodes`. An empty `apiKey` sends none. */
export async function callApi(url: string, line: string, apiKey: string, body?: object): Promise<Answer> {
  const [method = "", path = ""] = line.split(" ");
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      ...(apiKey ? { "x-api-key": apiKey } : {}),
      ...(body ? { "content-type": "application/json" } : {}),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  return { status: response.status, json: await response.json() };
}
