import { spawnSync } from "node:child_process";
import type { CertificateKind } from "./certificates.ts";
import type { Fault, Injection } from "./fault.ts";

/** The broker shows another certificate for a while: no connection, a line that says why, nothing in plain text. */
const show =
  (kind: CertificateKind) =>
  async ({ rig, sleep, random, undo, expect }: Injection) => {
    const { mosquitto, certificates } = rig;
    if (!mosquitto || !certificates) throw new Error("this rig has no TLS");
    await sleep(random(300, 1000));
    undo(async () => {
      certificates.use("good");
      await mosquitto.restart();
    });
    certificates.use(kind);
    await mosquitto.restart();
    await sleep(5000);
    expect("O3", rig.plainConnections() === 0, "bytes that are not TLS went to the broker");
  };

const whyNot = () =>
  spawnSync("openssl", ["version"]).status === 0 ? undefined : "openssl is missing to make certificates";
const common = { rig: "tls", names: "gateway", whyNot } as const;

/** Certificates that a gateway must not accept. */
export const tls: readonly Fault[] = [
  {
    ...common,
    id: "F16-ca",
    title: "mosquitto: certificate of an unknown authority",
    says: /self-signed|unable to (verify|get)/i,
    inject: show("stranger"),
  },
  {
    ...common,
    id: "F16-expired",
    title: "mosquitto: certificate has expired",
    says: /expired/i,
    inject: show("expired"),
  },
  {
    ...common,
    id: "F16-future",
    title: "mosquitto: certificate is not valid yet",
    says: /not yet valid/i,
    inject: show("future"),
  },
];
