import { randomUUID } from "node:crypto";
import type { Client, ConnectPacket, PublishPacket } from "aedes";
import { CLAIM_USER } from "./claim-desk.ts";
import type { Credentials } from "./credentials.ts";
import { type createDeviceAccess, type Decide, NOT_AUTHORISED, refusal, willOf } from "./device-access.ts";
import type { Door } from "./door.ts";
import type { Session } from "./session.ts";
import type { ReadTopic } from "./topic-reader.ts";

/** What deciding about a CONNECT needs. */
export interface AdmitClientDeps {
  access: ReturnType<typeof createDeviceAccess>;
  credentials: Pick<Credentials, "lookTwice">;
  /** Sessions that are admitted; a newer one of the same client takes the place. */
  byClientId: Map<string, Session>;
  readTopic(topic: string): ReadTopic;
  turnAway(session: Session, reason: Parameters<Door>[0]["reason"], detail: string): void;
  /** A client is admitted. */
  came(clientId: string): void;
  /** The client id must be one of the credential's devices. */
  strictClientId: boolean;
  maxPayloadBytes: number;
}

/** Return code of CONNACK. */
export const IDENTIFIER_REJECTED = 2;

const CLIENT_ID = /^[A-Za-z0-9_.:-]{1,128}$/;
const MAX_KEEPALIVE_S = 3600;

/**
 * Creates what decides who may connect: by credential or claim token, with a client id that nobody else uses and a
 * last will that the credential may publish.
 */
export function createAdmitClient(deps: AdmitClientDeps) {
  const { access, byClientId, turnAway } = deps;

  const mayPublish = (will: PublishPacket, owns: (device: string) => boolean) => {
    try {
      const { device } = deps.readTopic(will.topic);
      will.retain = false;
      return will.payload.length <= deps.maxPayloadBytes && (device === undefined || owns(device));
    } catch {
      return false;
    }
  };

  return async (session: Session, client: Client, username: string, password: string, done: Decide) => {
    if (username === CLAIM_USER) return void access.admitClaim(session, client, password, done);
    const check = () => access.whoIs(session, client, username, password);
    const named = username !== "" || session.certificate !== undefined;
    const answer = named ? await deps.credentials.lookTwice(check) : check();
    if (session.conn.destroyed) return done(refusal("gone", NOT_AUTHORISED), null);
    session.username = answer.credential?.username ?? username;
    if (!answer.credential) {
      const why = username === "" ? "no user name" : "user name or password is wrong";
      return access.refuseSlowly(session, answer.reason, why, done);
    }
    const { credential, hash } = answer;
    const refuse = (reason: "client_id_in_use" | "not_authorised", why: string, code: number) => {
      turnAway(session, reason, why);
      done(refusal(why, code), null);
    };
    if (deps.strictClientId && !credential.devices.includes(client.id)) {
      return refuse("not_authorised", "the client id is not a device of this user", NOT_AUTHORISED);
    }
    const other = byClientId.get(client.id);
    if (other && other.username !== credential.username) {
      return refuse("client_id_in_use", "another user is connected with this client id", IDENTIFIER_REJECTED);
    }
    const will = willOf(client);
    if (will && !mayPublish(will, credential.owns)) {
      return refuse("not_authorised", "the last will is not for a topic of this user", NOT_AUTHORISED);
    }
    if (will) session.will = will;
    if (other) other.superseded = true;
    byClientId.set(client.id, session);
    deps.came(client.id);
    session.credential = credential;
    session.hash = hash;
    access.admitted(session);
    done(null, true);
  };
}

/** Notes who connects and caps what he asks for; false where the client id cannot be used. */
export function admitPacket(session: Session, packet: ConnectPacket): boolean {
  if (packet.clientId === "" && packet.clean !== false) packet.clientId = `sluice-${randomUUID()}`;
  // Nobody takes over another's connection with a token that many devices share.
  if (packet.username === CLAIM_USER) packet.clientId = `claim-${randomUUID()}`;
  if (!CLIENT_ID.test(packet.clientId)) return false;
  session.clientId = packet.clientId;
  packet.clean = true;
  const keepalive = packet.keepalive ?? 0;
  packet.keepalive = keepalive === 0 || keepalive > MAX_KEEPALIVE_S ? MAX_KEEPALIVE_S : keepalive;
  return true;
}
