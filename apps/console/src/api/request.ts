/** What the api refused, in its own words, with what is wrong by field where it said so. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  constructor(
    readonly status: number,
    message: string,
    readonly fields: Readonly<Record<string, string>> = {},
    readonly body: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
  }
}

interface Problem {
  detail?: string;
  message?: string;
  errors?: { field: string; message: string }[];
}

let csrf = "";
let onLoggedOut: () => void = () => {};

/** The token that changes have to repeat. */
export function setCsrf(token: string): void {
  csrf = token;
}

/** Who hears that the session is over. */
export function whenLoggedOut(listener: () => void): void {
  onLoggedOut = listener;
}

/** Asks the api. @throws ApiError for what it refuses, and with status 0 where it does not answer */
export async function request<T>(
  method: string,
  path: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      credentials: "same-origin",
      headers: {
        accept: "application/json",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(method === "GET" ? {} : { "x-csrf-token": csrf }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ApiError(0, "The api does not answer. Is Sluice running? It is tried again by itself.");
  }
  const text = await response.text();
  const json =
    (response.headers.get("content-type") ?? "").includes("json") && text !== "" ? JSON.parse(text) : {};
  if (response.ok) return json as T;
  if (response.status === 401 && path !== "/api/v1/session") onLoggedOut();
  const problem = json as Problem;
  const fields = Object.fromEntries((problem.errors ?? []).map(({ field, message }) => [field, message]));
  throw new ApiError(
    response.status,
    problem.detail ?? problem.message ?? `HTTP ${response.status}`,
    fields,
    json,
  );
}

/** Asks for something to show. */
export const get = <T>(path: string, signal?: AbortSignal): Promise<T> =>
  request<T>("GET", path, undefined, signal);

/** A query string of what is given. */
export function query(values: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const given = Object.entries(values).filter((entry) => entry[1] !== undefined && entry[1] !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text === "" ? "" : `?${text}`;
}
