import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { RequestFilteringHttpAgent, RequestFilteringHttpsAgent } from "request-filtering-agent";
import type { Send } from "./deliver.ts";
import { toNews } from "./senders.ts";
import { signWebhook } from "./sign-webhook.ts";

const TIMEOUT_MS = 10_000;

/**
 * Creates the sender of webhooks: a POST of JSON that counts once it is answered with 2xx. It connects to public
 * addresses only, and to those of `allow` (addresses or CIDR ranges): the address that is looked at is the one that the
 * connection itself resolved and goes to, whatever the name resolved to before. It is signed with the channel's secret,
 * follows no redirect and reads no answer.
 */
export function createWebhook(allow: readonly string[]): Send {
  const options = { allowIPAddressList: [...allow] };
  const agents = {
    "http:": new RequestFilteringHttpAgent(options),
    "https:": new RequestFilteringHttpsAgent(options),
  };
  return (notification) => {
    const { target, secret } = notification.channel;
    const url = parseWebhookUrl(target);
    const body = JSON.stringify(toNews(notification));
    const request = url.protocol === "https:" ? httpsRequest : httpRequest;
    return new Promise((resolve, reject) => {
      const headers = {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
        "idempotency-key": notification.dedupeKey,
        "user-agent": "sluice",
        ...(secret === null ? {} : { "sluice-signature": signWebhook(secret, body, Date.now()) }),
      };
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const call = request(
        url,
        { method: "POST", agent: agents[url.protocol as keyof typeof agents], headers, signal },
        (response) => {
          response.destroy();
          const { statusCode = 0 } = response;
          if (statusCode >= 200 && statusCode < 300) resolve();
          else reject(new Error(`${url.origin} answered ${statusCode}`));
        },
      );
      call.once("error", reject);
      call.end(body);
    });
  };
}

/** A URL that a webhook may have. @throws Error saying why not */
function parseWebhookUrl(text: string): URL {
  const url = new URL(text);
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw new Error("a webhook is http:// or https://");
  return url;
}
