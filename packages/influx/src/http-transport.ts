import http from "node:http";
import https from "node:https";
import { text } from "node:stream/consumers";
import { OutageError } from "@sluice/shared-types";

/** One request. */
export interface Request {
  method: "GET" | "POST";
  /** Path and query under the base URL. */
  path: string;
  headers?: Record<string, string>;
  body?: Buffer | string;
}

/** A server's answer, whatever its status. */
export interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: string;
}

/** Sends requests to one server over kept-alive connections. */
export interface Transport {
  /**
   * Resolves with the answer, whatever its status. Rejects with OutageError where there was none within the
   * timeout: then the request may or may not have had its effect.
   */
  send(request: Request): Promise<Answer>;
  /** Drops idle connections and cuts the others. */
  close(): void;
}

/** Creates a transport to `baseUrl`, which may have a path. */
export function createTransport(baseUrl: URL, timeoutMs: number): Transport {
  const secure = baseUrl.protocol === "https:";
  const options = { keepAlive: true, maxSockets: 8, maxFreeSockets: 4 };
  const agent = secure ? new https.Agent(options) : new http.Agent(options);
  const base = baseUrl.origin + baseUrl.pathname.replace(/\/+$/, "");
  const closing = new AbortController();

  async function once(request: Request): Promise<Answer & { reused: boolean }> {
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = AbortSignal.any([timeout, closing.signal]);
    let reused = false;
    try {
      return await new Promise((resolve, reject) => {
        const { method, headers = {}, body } = request;
        const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
        const req = (secure ? https : http).request(`${base}${request.path}`, {
          method,
          agent,
          signal,
          headers: { ...headers, ...length },
        });
        req.on("error", reject);
        req.on("socket", () => {
          reused = req.reusedSocket;
        });
        req.on("response", (res) => {
          text(res).then(
            (body) => resolve({ status: res.statusCode ?? 0, headers: res.headers, body, reused }),
            reject,
          );
        });
        req.end(body);
      });
    } catch (cause) {
      const why = timeout.aborted ? `no answer within ${timeoutMs} ms` : describe(cause as Error);
      throw Object.assign(new OutageError("influx", `InfluxDB: ${why}`, undefined, { cause }), {
        stale: reused && !signal.aborted,
      });
    }
  }

  return {
    async send(request) {
      try {
        return await once(request);
      } catch (error) {
        // A kept-alive connection that the server closed meanwhile. Every request of ours may be repeated.
        if (error instanceof OutageError && (error as { stale?: boolean }).stale) return once(request);
        throw error;
      }
    },
    close() {
      closing.abort();
      agent.destroy();
    },
  };
}

function describe({ message, code, name }: NodeJS.ErrnoException): string {
  return message !== "" ? message : (code ?? name); // several addresses tried: an error without a message
}
