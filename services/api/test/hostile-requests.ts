import type { TestApi } from "./use-api.ts";

/** What is read of a JSON schema here. */
interface Schema {
  type?: string | string[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  default?: unknown;
  minimum?: number;
  exclusiveMinimum?: number;
  format?: string;
  pattern?: string;
  examples?: unknown[];
}

/** What is read of an operation of an OpenAPI document. */
interface Operation {
  parameters?: { name: string; in: string; required?: boolean; schema?: Schema }[];
  requestBody?: { content?: Record<string, { schema?: Schema }> };
}

/** A request that means no good. */
interface HostileRequest {
  method: string;
  path: string;
  /** What is wrong with it. */
  what: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
}

/** As they stand in a URL. */
const BAD_TEXTS = [
  "-1",
  "0",
  "1e999",
  "9".repeat(40),
  "2147483648",
  "9007199254740993",
  "NaN",
  "%00",
  "a%00b",
  "%FF%FE",
  "%ED%A0%80",
  "%F0%9F%92%A9",
  "x".repeat(199),
  "%27%3B%20DROP%20TABLE%20x%3B--",
  "..%2F..%2Fetc%2Fpasswd",
  "%7B%7D",
  "[]",
  "true",
  "2026-02-30",
  "0001-01-01T00:00:00Z",
  "9999-12-31T23:59:59Z",
  "-infinity",
  "%25",
  "",
];

/** As they stand in JSON. */
const BAD_VALUES = [
  "null",
  "true",
  "-1",
  "0",
  "1.5",
  "1e308",
  "1e999",
  "9007199254740993",
  "2147483648",
  '""',
  '"\\u0000"',
  '"a\\u0000b"',
  '"\\ud800"',
  '"-infinity"',
  '"0001-01-01T00:00:00Z"',
  '"9999-12-31T23:59:59Z"',
  `"${"x".repeat(300)}"`,
  "[]",
  "[null]",
  '[{"a":[[[[[[[[1]]]]]]]]}]',
  "{}",
  '{"__proto__":{"x":1},"constructor":{"prototype":1}}',
  '{"a\\u0000":"\\u0000"}',
];

const BAD_BODIES: readonly (readonly [what: string, body: string | Buffer, type?: string])[] = [
  ["no JSON", "{"],
  ["nothing", ""],
  ["null", "null"],
  ["a list", "[]"],
  ["a number", "1e999"],
  ["a text", '"\\u0000"'],
  ["no UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])],
  ["deep", `${"[".repeat(20_000)}${"]".repeat(20_000)}`],
  ["a form", "a=1", "application/x-www-form-urlencoded"],
  ["text", "a", "text/plain"],
  ["a file", "--x\r\n\r\n--x--", "multipart/form-data; boundary=x"],
  ["XML", "<a/>", "application/xml"],
  ["an odd type", "{}", ";;;"],
  ["another charset", "{}", "application/json; charset=utf-16"],
];

/** The gateway's and the worker's, who do not run here; and streams, which do not end. */
const ELSEWHERE = [
  "/api/v1/ingest",
  "/api/v1/devices/telemetry",
  "/api/v1/telemetry",
  "/api/v1/mqtt/telemetry/{id}",
  "/api/v1/mqtt/status",
  "/api/data",
  "/api/v1/influxdb/telemetry",
  "/api/v1/influxdb/telemetry/batch",
  "/api/v1/measurement",
  "/api/v1/live",
  "/api/v1/flow/live",
  "/api/v1/session",
];
const AT_ONCE = 8;

/**
 * Sends every `nth` of all bad requests that the OpenAPI document gives rise to, with a key that may do everything.
 * Resolves with how many those were, and with every answer that is not the caller's fault or does not say what is wrong.
 */
export async function sendHostileRequests(
  { url, keys, call }: TestApi,
  nth: number,
): Promise<{ sent: number; wrong: string[] }> {
  const { json } = await call("GET", "/docs/json");
  const operations = Object.entries<Record<string, Operation>>(json.paths)
    .filter(([path]) => !ELSEWHERE.includes(path))
    .flatMap(([path, methods]) => Object.entries(methods).map(([method, one]) => ({ path, method, one })));
  const requests = operations
    .flatMap(({ path, method, one }) => [...spoil(path, method, one)])
    .filter((_, i) => i % nth === 0);
  const wrong: string[] = [];
  const queue = requests.values();
  const send = async () => {
    for (const { method, path, what, ...rest } of queue) {
      const headers = { "x-api-key": keys.admin, ...rest.headers };
      const body = rest.body as NonNullable<RequestInit["body"]> | undefined;
      const answer = await fetch(`${url}${path}`, {
        ...{ method, headers, redirect: "manual" },
        ...(body === undefined ? {} : { body }),
      });
      const text = await answer.text();
      const told = answer.status < 400 || (/"error":"/.test(text) && /"message":"/.test(text));
      if (answer.status >= 500 || !told)
        wrong.push(
          `${answer.status} ${method} ${path.slice(0, 200)} with ${what.slice(0, 100)}: ${text.slice(0, 200)}`,
        );
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, send));
  return { sent: requests.length, wrong };
}

/** Requests against one operation: each parameter and each field of the body is spoilt on its own. */
function* spoil(path: string, method: string, operation: Operation): Generator<HostileRequest> {
  const parameters = operation.parameters ?? [];
  const schema = operation.requestBody?.content?.["application/json"]?.schema;
  const plain = schema === undefined ? undefined : (exampleOf(schema) as Record<string, unknown>);
  const body = plain === undefined ? undefined : JSON.stringify(plain);
  const url = (spoilt?: string, value = "") => {
    const textOf = (parameter: (typeof parameters)[number]) =>
      parameter.name === spoilt
        ? value
        : encodeURIComponent(String(exampleOf(parameter.schema ?? {}, parameter.name)));
    const filled = path.replace(/\{(\w+)\}/g, (_, name) => {
      const parameter = parameters.find((one) => one.in === "path" && one.name === name);
      return name === spoilt ? value : parameter ? textOf(parameter) : "1";
    });
    const query = parameters
      .filter((one) => one.in === "query" && (one.required || one.name === spoilt))
      .map((one) => `${one.name}=${textOf(one)}`);
    return query.length === 0 ? filled : `${filled}?${query.join("&")}`;
  };
  const request = (what: string, target: string, sent = body, type = "application/json"): HostileRequest => ({
    method: method.toUpperCase(),
    path: target,
    what,
    ...(sent === undefined ? {} : { body: sent, headers: { "content-type": type } }),
  });
  yield request("nothing", url());
  for (const { name, in: place } of parameters) {
    if (place !== "path" && place !== "query") continue;
    for (const value of BAD_TEXTS) yield request(`${name}=${value}`, url(name, value));
    if (place === "query") {
      const twice = url(name, "1");
      yield request(`${name} twice`, `${twice}&${name}=2`);
      yield request(`${name} as a list`, `${twice}&${name}[]=2&${name}[a]=b`);
    }
  }
  if (["get", "delete", "head"].includes(method)) return;
  for (const [what, sent, type] of BAD_BODIES) yield { ...request(what, url(), "", type), body: sent };
  for (const key of Object.keys(propertiesOf(schema ?? {}))) {
    for (const value of BAD_VALUES) {
      const rest = JSON.stringify({ ...plain, [key]: undefined }).slice(1, -1);
      yield request(
        `${key}: ${value}`,
        url(),
        `{${rest}${rest === "" ? "" : ","}${JSON.stringify(key)}:${value}}`,
      );
    }
  }
}

function propertiesOf(schema: Schema): Record<string, Schema> {
  const parts = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])];
  return Object.assign({}, ...parts.map(propertiesOf), schema.properties);
}

/** Something that the schema may well accept. */
function exampleOf(schema: Schema, name = ""): unknown {
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return schema.enum[0];
  const first = schema.anyOf?.[0] ?? schema.oneOf?.[0] ?? schema.allOf?.[0];
  if (first !== undefined) return exampleOf(first, name);
  const type = [schema.type].flat()[0];
  if (type === "object") {
    const required = schema.required ?? [];
    return Object.fromEntries(
      Object.entries(schema.properties ?? {})
        .filter(([key]) => required.includes(key))
        .map(([key, of]) => [key, exampleOf(of, key)]),
    );
  }
  if (type === "array") return schema.items === undefined ? [] : [exampleOf(schema.items)];
  if (type === "number" || type === "integer") return schema.minimum ?? (schema.exclusiveMinimum ?? 0) + 1;
  if (type === "boolean") return true;
  if (schema.format === "email") return "ann@example.org";
  if (/time|^from$|^to$|^at$|start|stop|date/i.test(name)) return "2026-01-02T03:04:05Z";
  if (/^(id|sensor|n|cursor)$/.test(name) || schema.pattern?.includes("\\d")) return "1";
  return "esp32_001";
}
