import { setTimeout as delay } from "node:timers/promises";
import { CLAIM_TOKEN_PREFIX, type ClaimFault, claimDevice, type Db, isClaimToken, openDb } from "@sluice/db";
import { createTopics, DEVICE_ID, type Resource } from "@sluice/shared-types";
import type { Credentials } from "./credentials.ts";
import type { Log } from "./log.ts";

/** User name of a device that has no credential yet; its password is a claim token. */
export const CLAIM_USER = "claim";

/** Where devices register themselves. */
export interface ClaimDesk extends Resource {
  /** Whether the token lets its bearer ask. Rejects with OutageError where nobody can tell. */
  admits(token: string): Promise<boolean>;
  /** The device that may ask on this topic: `{root}/discovery/register/{id}`. */
  findAsked(topic: string): string | undefined;
  /** Whether the answer may be waited for on this filter: `{root}/discovery/response/{id}`. */
  mayListen(filter: string): boolean;
  /**
   * Registers the device: the answer for `discovery/response`, with its credential or with the reason why not. When
   * it resolves the credential is good here. Rejects with OutageError where PostgreSQL cannot be asked.
   */
  register(token: string, device: string): Promise<ClaimAnswer>;
}

/** Payload of `{root}/discovery/response/{id}`. */
export type ClaimAnswer =
  | { status: "registered"; device_id: string; username: string; password: string; api_key: string }
  | { status: "refused"; device_id: string; reason: ClaimFault };

/** What it works with. */
export interface ClaimDeskDeps {
  databaseUrl: string;
  pepper: string;
  root: string;
  credentials: Pick<Credentials, "findOwner">;
  log: Log;
}

const TOKEN = new RegExp(`^${CLAIM_TOKEN_PREFIX}[A-Za-z0-9]{24}$`);
const IN_FORCE_MS = 3000;

/** Opens the desk; the database is asked only when somebody comes. */
export function openClaimDesk({ databaseUrl, pepper, root, credentials, log }: ClaimDeskDeps): ClaimDesk {
  let opening: Promise<Db> | undefined;
  const db = () => {
    opening ??= openDb(databaseUrl, { max: 2, log, applicationName: "sluice-claims" }).catch((error) => {
      opening = undefined;
      throw error;
    });
    return opening;
  };
  const base = `${root}/discovery/register/`;
  const answerBase = createTopics(root).discoveryResponse("");
  const isUnder = (topic: string, start: string) =>
    topic.startsWith(start) && DEVICE_ID.test(topic.slice(start.length));
  return {
    // What does not look like a token costs the database nothing.
    admits: async (token) => TOKEN.test(token) && isClaimToken(await db(), pepper, token),
    findAsked: (topic) => (isUnder(topic, base) ? topic.slice(base.length) : undefined),
    mayListen: (filter) => isUnder(filter, answerBase),
    async register(token, device) {
      const made = await claimDevice(await db(), pepper, token, device);
      if (typeof made === "string") {
        log.warn({ device, reason: made }, "claim refused");
        return { status: "refused", device_id: device, reason: made };
      }
      log.info({ device }, "a device has registered itself");
      const untilMs = Date.now() + IN_FORCE_MS;
      while (!credentials.findOwner(device) && Date.now() < untilMs) await delay(10);
      const { username, password, apiKey } = made;
      return { status: "registered", device_id: device, username, password, api_key: apiKey };
    },
    ping: async () => {},
    close: async () => {
      await (await opening?.catch(() => undefined))?.close();
    },
  };
}
