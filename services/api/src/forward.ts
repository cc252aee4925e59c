import { Agent, request as httpRequest } from "node:http";
import { request as httpsRequest, Agent as TlsAgent } from "node:https";
import { buffer } from "node:stream/consumers";
import { OutageError } from "@sluice/shared-types";
import type { FastifyReply, FastifyRequest } from "fastify";

/** Sends a request with `body` to `path` of the gateway and answers what it answers. @throws OutageError */
export type Forward = (
  request: FastifyRequest,
  reply: FastifyReply,
  path: string,
  body: Buffer,
) => Promise<unknown>;

const TIMEOUT_MS = 25_000;
/** What of a request the gateway has to see. */
const PASSED = ["x-api-key", "authorization", "content-type", "content-encoding", "idempotency-key"];
const RETURNED = ["content-type", "retry-after", "location", "www-authenticate"];

/**
 * Creates the way to the gateway at `url`. A request whose connection breaks is not sent again: the gateway may have
 * taken it, and only the device knows whether it can be told apart; it hears 503.
 */
export function createForward(url: string | undefined): Forward {
  if (url === undefined) {
    return async () => {
      throw new OutageError("gateway", "no gateway takes readings here");
    };
  }
  const base = new URL(url);
  const secure = base.protocol === "https:";
  const options = { keepAlive: true, maxSockets: 256, maxFreeSockets: 32 };
  const agent = secure ? new TlsAgent(options) : new Agent(options);
  const send = secure ? httpsRequest : httpRequest;
  return (request, reply, path, body) =>
    new Promise((resolve, reject) => {
      const headers: Record<string, string | string[]> = { "content-length": String(body.length) };
      for (const name of PASSED) {
        const value = request.headers[name];
        if (value !== undefined) headers[name] = value;
      }
      headers["x-forwarded-for"] = request.ip;
      const fail = (cause: Error) =>
        reject(new OutageError("gateway", "the gateway does not answer", 2000, { cause }));
      const outgoing = send(
        new URL(path, base),
        { method: request.method, agent, headers, timeout: TIMEOUT_MS },
        (incoming) => {
          buffer(incoming).then((answer) => {
            reply.code(incoming.statusCode ?? 502);
            for (const name of RETURNED) {
              const value = incoming.headers[name];
              if (value !== undefined) reply.header(name, value);
            }
            resolve(reply.send(answer));
          }, fail);
        },
      );
      outgoing.on("timeout", () => outgoing.destroy(new Error(`no answer in ${TIMEOUT_MS} ms`)));
      outgoing.on("error", fail);
      outgoing.end(body);
    });
}
