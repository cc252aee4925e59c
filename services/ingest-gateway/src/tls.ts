import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync, statSync, unwatchFile, watchFile } from "node:fs";
import type { TLSSocket } from "node:tls";
import type { Log } from "./log.ts";

/** Files of a TLS listener. */
export interface TlsFiles {
  cert: string;
  key: string;
  /** Authorities of client certificates; with it, whoever has none is turned away. */
  clientCa?: string | undefined;
}

/** What a TLS server is set up with. */
export interface TlsContext {
  cert: Buffer;
  key: Buffer;
  ca?: Buffer;
  minVersion: "TLSv1.2";
}

const RELOAD_EVERY_MS = 2000;

/** Reads certificate and key. @throws Error naming the file where they cannot be used: who else can read the key, the dates, that they do not fit */
export function readTls(files: TlsFiles): TlsContext {
  const cert = readFileSync(files.cert);
  const key = readFileSync(files.key);
  if (statSync(files.key).mode & 0o007) {
    throw new Error(`${files.key} is readable by everybody: chmod 600 it`);
  }
  const certificate = parse(files.cert, () => new X509Certificate(cert));
  const privateKey: KeyObject = parse(files.key, () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new Error(`${files.key} is not the key of ${files.cert}`);
  }
  const nowMs = Date.now();
  if (new Date(certificate.validTo).getTime() < nowMs) {
    throw new Error(`${files.cert} expired on ${certificate.validTo}`);
  }
  if (new Date(certificate.validFrom).getTime() > nowMs) {
    throw new Error(`${files.cert} is valid only from ${certificate.validFrom}`);
  }
  const ca = files.clientCa === undefined ? undefined : readFileSync(files.clientCa);
  if (ca !== undefined) parse(files.clientCa ?? "", () => new X509Certificate(ca));
  return { cert, key, minVersion: "TLSv1.2", ...(ca === undefined ? {} : { ca }) };
}

function parse<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new Error(`${file} cannot be read as PEM: ${(cause as Error).message}`, { cause });
  }
}

/** Hands over certificate and key again whenever a file changes and they fit; gives the function that ends it. */
export function followTls(files: TlsFiles, log: Log, apply: (context: TlsContext) => void): () => void {
  const names = [files.cert, files.key, files.clientCa].filter((file) => file !== undefined);
  const reload = () => {
    try {
      apply(readTls(files));
      log.info({ tlsCert: files.cert }, "certificate read again");
    } catch (error) {
      log.error({ err: error, tlsCert: files.cert }, "new certificate cannot be used; the old one stays");
    }
  };
  for (const file of names) watchFile(file, { interval: RELOAD_EVERY_MS, persistent: false }, reload);
  return () => {
    for (const file of names) unwatchFile(file, reload);
  };
}

/** Device ids that a verified client certificate speaks for: its common name and its DNS and URI alternative names. */
export function namesOf(socket: TLSSocket): string[] | undefined {
  if (!socket.authorized) return undefined;
  const { subject, subjectaltname } = socket.getPeerCertificate();
  if (subject === undefined) return undefined;
  const alternative = (subjectaltname ?? "").split(", ").map((name) => name.replace(/^(DNS|URI):/, ""));
  return [subject.CN, ...alternative].flat().filter((name) => name !== undefined && name !== "") as string[];
}
