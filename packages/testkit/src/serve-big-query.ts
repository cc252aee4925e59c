import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A row of the table, in the order of its columns: timestamp (ISO), node_id, node_name, then five numbers or null. */
export type BigQueryRow = readonly [string, string, string | null, ...(number | null)[]];

/** BigQuery's REST exchange over one table, on a local port. */
export interface BigQueryServer {
  readonly url: string;
  /** Credentials that exchange their token here: for GOOGLE_APPLICATION_CREDENTIALS. */
  readonly credentialsPath: string;
  /** `METHOD path` of every request. */
  readonly requests: string[];
  stop(): Promise<void>;
}

const FIELDS = [
  ["timestamp", "TIMESTAMP"],
  ["node_id", "STRING"],
  ["node_name", "STRING"],
  ["flow_rate", "FLOAT"],
  ["pressure", "FLOAT"],
  ["temperature", "FLOAT"],
  ["volume", "FLOAT"],
  ["quality_score", "FLOAT"],
] as const;

/**
 * Answers as BigQuery's v2 API does for a query job with pages, a query with its answer, and a token exchange. Who
 * comes without the token gets 401; who asks for another table 404.
 */
export async function startBigQuery(table: string, rows: readonly BigQueryRow[]): Promise<BigQueryServer> {
  const requests: string[] = [];
  const jobs = new Map<string, readonly BigQueryRow[]>();
  const server = createServer((request, response) => {
    const answer = (status: number, body: object) => {
      response.writeHead(status, { "content-type": "application/json; charset=UTF-8" });
      response.end(JSON.stringify(body));
    };
    readBody(request).then(
      (body) => {
        const url = new URL(request.url ?? "/", "http://localhost");
        requests.push(`${request.method} ${url.pathname}`);
        if (url.pathname === "/token") return answer(200, TOKEN);
        if (request.headers.authorization !== `Bearer ${TOKEN.access_token}`)
          return answer(401, refusal(401, "no token"));
        return answer(...reply(request.method ?? "", url, body));
      },
      () => response.destroy(),
    );
  });
  const reply = (method: string, url: URL, body: RequestBody): [number, object] => {
    const [, project = "", path = ""] = /^\/bigquery\/v2\/projects\/([^/]+)\/(.*)$/.exec(url.pathname) ?? [];
    const query = body.configuration?.query ?? body;
    if (method === "POST" && query.query !== undefined && !query.query.includes(`\`${table}\``))
      return [404, refusal(404, `Not found: Table ${table}`)];
    const reference = (jobId: string) => ({ projectId: project, jobId, location: "EU" });
    if (method === "POST" && path === "queries") {
      return [
        200,
        {
          kind: "bigquery#queryResponse",
          jobReference: reference("facts"),
          jobComplete: true,
          ...facts(rows),
        },
      ];
    }
    if (method === "POST" && path === "jobs") {
      const jobId = body.jobReference?.jobId ?? "job";
      jobs.set(jobId, within(rows, query));
      const status = { state: "RUNNING" };
      return [
        200,
        {
          kind: "bigquery#job",
          id: `${project}:EU.${jobId}`,
          jobReference: reference(jobId),
          status,
          configuration: body.configuration,
        },
      ];
    }
    const jobId = /^queries\/([^/]+)$/.exec(path)?.[1] ?? "";
    const found = jobs.get(jobId);
    if (!found) return [404, refusal(404, `Not found: Job ${jobId}`)];
    const from = Number(url.searchParams.get("pageToken") ?? 0);
    const to = from + Number(url.searchParams.get("maxResults") ?? found.length);
    return [
      200,
      {
        kind: "bigquery#getQueryResultsResponse",
        schema: { fields: FIELDS.map(([name, type]) => ({ name, type, mode: "NULLABLE" })) },
        jobReference: reference(jobId),
        totalRows: String(found.length),
        jobComplete: true,
        rows: found.slice(from, to).map(toCells),
        ...(to < found.length ? { pageToken: String(to) } : {}),
      },
    ];
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const folder = await mkdtemp(join(tmpdir(), "sluice bigquery "));
  const credentialsPath = join(folder, "credentials.json");
  await writeFile(join(folder, "subject.txt"), "subject");
  await writeFile(credentialsPath, JSON.stringify(credentials(url, join(folder, "subject.txt"))));
  return {
    url,
    credentialsPath,
    requests,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(folder, { recursive: true });
    },
  };
}

const TOKEN = {
  access_token: "token-of-the-tests",
  issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
  token_type: "Bearer",
  expires_in: 3600,
};

/** Workload identity federation: the one kind of credentials whose token comes from where the file says. */
const credentials = (url: string, file: string) => ({
  type: "external_account",
  audience: "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/test/providers/test",
  subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
  token_url: `${url}/token`,
  credential_source: { file },
});

interface QueryBody {
  query?: string;
  queryParameters?: { name: string; parameterValue: { value: string } }[];
}
interface RequestBody extends QueryBody {
  configuration?: { query?: QueryBody };
  jobReference?: { jobId?: string };
}

async function readBody(request: IncomingMessage): Promise<RequestBody> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return text.startsWith("{") ? (JSON.parse(text) as RequestBody) : {};
}

function within(rows: readonly BigQueryRow[], { queryParameters = [] }: QueryBody): BigQueryRow[] {
  const bound = (name: string) =>
    Date.parse(queryParameters.find((parameter) => parameter.name === name)?.parameterValue.value ?? "");
  const [from, to] = [bound("from_time"), bound("to_time")];
  return rows
    .filter(([time]) => Date.parse(time) >= from && Date.parse(time) < to)
    .sort(([a], [b]) => Date.parse(a) - Date.parse(b));
}

const micros = (iso: string) => String(Date.parse(iso) * 1000);

const toCells = ([time, ...rest]: BigQueryRow) => ({
  f: [{ v: micros(time) }, ...rest.map((value) => ({ v: value === null ? null : String(value) }))],
});

function facts(rows: readonly BigQueryRow[]): object {
  const times = rows.map(([time]) => time).sort();
  const [first, last] = [times[0], times.at(-1)];
  const cells = [rows.length, new Set(rows.map(([, node]) => node)).size];
  return {
    schema: {
      fields: [
        { name: "n", type: "INTEGER" },
        { name: "nodes", type: "INTEGER" },
        { name: "first", type: "TIMESTAMP" },
        { name: "last", type: "TIMESTAMP" },
      ],
    },
    totalRows: "1",
    rows: [
      {
        f: [
          ...cells.map((v) => ({ v: String(v) })),
          ...[first, last].map((at) => ({ v: at === undefined ? null : micros(at) })),
        ],
      },
    ],
  };
}

const refusal = (code: number, message: string) => ({
  error: {
    code,
    message,
    errors: [{ message, domain: "global", reason: code === 404 ? "notFound" : "authError" }],
  },
});
