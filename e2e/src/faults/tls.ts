import { spawnSync } from "node:child_process";
import { waitFor } from "@sluice/testkit/wait-for";
import type { CertificateKind } from "./certificates.ts";
import type { Fault } from "./fault.ts";

/** The broker shows another certificate for a while: no connection, a line that says why, nothing in plain text. */
const shows = (kind: CertificateKind, says: RegExp): Pick<Fault, "says" | "inject"> => ({
  says,
  async inject({ rig, sleep, random, undo, expect }) {
    const { mosquitto, certificates } = rig;
    if (!mosquitto || !certificates) throw new Error("this rig has no TLS");
    await sleep(random(300, 1000));
    undo(async () => {
      certificates.use("good");
      await mosquitto.restart();
    });
    certificates.use(kind);
    await mosquitto.restart();
    // A gateway that was cut off a moment before tries again after up to 15 s; O3 asks for what it says.
    await waitFor(() => rig.hasLine(says), { timeoutMs: 20_000 }).catch(() => {});
    await sleep(1000);
    expect("O3", rig.plainConnections() === 0, "bytes that are not TLS went to the broker");
  },
});

const whyNot = () =>
  spawnSync("openssl", ["version"]).status === 0 ? undefined : "openssl is missing to make certificates";
const common = { rig: "tls", names: "gateway", whyNot } as const;

/** Certificates that a gateway must not accept. */
export const tls: readonly Fault[] = [
  {
    ...common,
    id: "F16-ca",
    title: "mosquitto: certificate of an unknown authority",
    ...shows("stranger", /self-signed|unable to (verify|get)/i),
  },
  {
    ...common,
    id: "F16-expired",
    title: "mosquitto: certificate has expired",
    ...shows("expired", /expired/i),
  },
  {
    ...common,
    id: "F16-future",
    title: "mosquitto: certificate is not valid yet",
    ...shows("future", /not yet valid/i),
  },
];
