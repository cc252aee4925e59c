import type { Topics } from "@sluice/shared-types";
import type { AuthenticateError, Client, PublishPacket } from "aedes";
import type { Brake } from "./brake.ts";
import { CLAIM_USER, type ClaimDesk } from "./claim-desk.ts";
import type { Authentication, LiveCredential } from "./credential-book.ts";
import type { Credentials } from "./credentials.ts";
import type { Door } from "./door.ts";
import type { Log } from "./log.ts";
import type { Session } from "./session.ts";

/** What deciding about a CONNECT needs. */
export interface DeviceAccessDeps {
  credentials: Credentials;
  brake: Brake;
  claims: ClaimDesk;
  topics: Topics;
  log: Log;
  turnAway(session: Session, reason: Parameters<Door>[0]["reason"], detail: string): void;
  /** The session has said who it is. */
  admitted(session: Session): void;
}

/** Answer to a CONNECT. */
export type Decide = (error: AuthenticateError | null, success: boolean | null) => void;

export const NOT_AUTHORISED = 5;
const UNAVAILABLE = 3;
const CLAIM_MS = 60_000;
/** Stands for the hash of a secret where a certificate was shown instead. */
const CERTIFICATE = "certificate";

/** Who a connection is: by password, by certificate, or somebody new with a claim token. */
export function createDeviceAccess(deps: DeviceAccessDeps) {
  const { log, topics, turnAway, admitted } = deps;
  /** By password; where certificates are asked for, by certificate, which must also name the client id. */
  const whoIs = (session: Session, client: Client, username: string, password: string): Authentication => {
    const names = session.certificate;
    if (names === undefined) return deps.credentials.authenticate(username, password);
    const owner = names.includes(client.id) ? deps.credentials.findOwner(client.id) : undefined;
    if (owner?.status !== "active") {
      return { reason: owner === undefined ? "bad_credentials" : "device_disabled" };
    }
    if (username === "") return { credential: owner, hash: CERTIFICATE };
    const answer = deps.credentials.authenticate(username, password);
    return answer.credential && answer.credential !== owner ? { reason: "bad_credentials" } : answer;
  };
  const refuseSlowly = (
    session: Session,
    reason: Parameters<Door>[0]["reason"],
    why: string,
    done: Decide,
  ) => {
    turnAway(session, reason, why);
    const waitMs = deps.brake.failed(session.address, session.username ?? "");
    if (waitMs === undefined) return void session.conn.destroy();
    setTimeout(() => {
      deps.brake.answered();
      done(refusal("not authorised", NOT_AUTHORISED), null);
    }, waitMs);
  };
  /** Lets somebody in who may do nothing but register a device, for a minute. */
  const admitClaim = async (session: Session, client: Client, token: string, done: Decide) => {
    session.username = CLAIM_USER;
    if (willOf(client)) return done(refusal("no last will with a claim token", NOT_AUTHORISED), null);
    try {
      if (!(await deps.claims.admits(token))) {
        return refuseSlowly(session, "bad_credentials", "the claim token is wrong, expired or ended", done);
      }
    } catch (error) {
      log.warn({ err: error }, "a claim token cannot be checked");
      return done(refusal("server unavailable", UNAVAILABLE), null);
    }
    session.claim = token;
    admitted(session);
    const timer = setTimeout(() => session.conn.destroy(), CLAIM_MS);
    session.conn.once("close", () => clearTimeout(timer));
    done(null, true);
  };
  /** Answers only to who asked: a credential is in it. */
  const register = (
    session: Session,
    client: Client,
    token: string,
    packet: PublishPacket,
    done: (error?: Error) => void,
  ) => {
    const device = deps.claims.findAsked(packet.topic);
    if (device === undefined) {
      turnAway(session, "not_authorised", "with a claim token a device may only register");
      return done(new Error("not authorised"));
    }
    deps.claims.register(token, device).then(
      (answer) => {
        done();
        if (answer.status === "refused")
          turnAway(session, "not_authorised", `claim refused: ${answer.reason}`);
        const topic = topics.discoveryResponse(device);
        if (!session.filters.has(topic)) return;
        const payload = Buffer.from(JSON.stringify(answer));
        client.publish({ cmd: "publish", topic, payload, qos: 1, retain: false, dup: false }, () => {});
      },
      (error: Error) => {
        log.warn({ err: error, device }, "a device cannot be registered now");
        done(error);
      },
    );
  };

  const renew = (session: Session, username: string, hash: string): LiveCredential | undefined => {
    if (hash !== CERTIFICATE) return deps.credentials.renew(username, hash);
    const owner = deps.credentials.findOwner(session.clientId ?? "");
    return owner?.status === "active" && owner.username === username ? owner : undefined;
  };
  return { whoIs, refuseSlowly, admitClaim, register, renew, admitted };
}

/** The last will of a CONNECT. */
export const willOf = (client: Client) => (client as { _will?: PublishPacket })._will;

/** An answer to a CONNECT with its return code. */
export const refusal = (message: string, returnCode: number): AuthenticateError =>
  Object.assign(new Error(message), { returnCode }) as AuthenticateError;
