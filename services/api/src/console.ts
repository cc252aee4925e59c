import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import fastifyStatic from "@fastify/static";
import type { FastifyReply } from "fastify";
import { Refusal } from "./refusal.ts";
import type { App } from "./server.ts";

/** What `pnpm build` makes of apps/console; beside this service in a checkout and in the image alike. */
const BUILT = resolve(import.meta.dirname, "../../../apps/console/dist");
const YEAR_S = 31_536_000;
const PUBLIC = { config: { access: "public" as const }, schema: { hide: true } };

/** Scripts and styles from here only, none within the page; the page talks to nobody but this origin. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

/**
 * Serves the console under `/console/`. Files with a hash in their name may be kept for ever, everything else is asked
 * for again by its ETag; any path of a page is answered with the one document.
 */
export async function addConsole(app: App, root = BUILT): Promise<void> {
  if (existsSync(root)) {
    await app.register(fastifyStatic, { root, serve: false, preCompressed: true, cacheControl: false });
  }
  const page = (reply: FastifyReply) => {
    if (!existsSync(join(root, "index.html"))) {
      throw new Refusal(404, "the console is not built here: run `npm run build`, then start again", {
        code: "not_found",
      });
    }
    return reply
      .header("content-security-policy", POLICY)
      .header("cache-control", "no-cache")
      .sendFile("index.html");
  };
  app.get("/console", PUBLIC, async (_request, reply) => reply.redirect("/console/", 302));
  app.get("/console/", PUBLIC, async (_request, reply) => page(reply));
  app.get<{ Params: { "*": string } }>("/console/*", PUBLIC, async (request, reply) => {
    const path = request.params["*"];
    if (path.startsWith("assets/")) {
      return reply.header("cache-control", `public, max-age=${YEAR_S}, immutable`).sendFile(path);
    }
    return /^[\w-]+\.(svg|png|webmanifest)$/.test(path)
      ? reply.header("cache-control", "no-cache").sendFile(path)
      : page(reply);
  });
}

/** Whether a browser asks for a page, as against a program for data. */
export const wantsPage = (accept: string | undefined): boolean => /\btext\/html\b/.test(accept ?? "");
