import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What a server's certificate can be. */
export type CertificateKind = "good" | "expired" | "future" | "stranger";

/** Certificates for 127.0.0.1, good and bad, and the authority that a client trusts. */
export interface Certificates {
  dir: string;
  ca: string;
  certFile: string;
  keyFile: string;
  /** Puts another certificate in the place of the present one. */
  use(kind: CertificateKind): void;
}

const VALIDITY: Record<CertificateKind, [from: string, to: string]> = {
  good: ["20240101000000Z", "20480101000000Z"],
  stranger: ["20240101000000Z", "20480101000000Z"],
  expired: ["20240101000000Z", "20240201000000Z"],
  future: ["20470101000000Z", "20480101000000Z"],
};

function openssl(dir: string, ...args: string[]): void {
  const { status, stderr } = spawnSync("openssl", args, { cwd: dir, encoding: "utf8" });
  if (status !== 0) throw new Error(`openssl ${args.join(" ")}: ${stderr}`);
}

/** Makes them with openssl in a folder of its own; the caller removes it. */
export function createCertificates(): Certificates {
  const dir = mkdtempSync(join(tmpdir(), "sluice-tls-"));
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  for (const name of ["ca", "stranger-ca"])
    openssl(
      dir,
      "req",
      "-x509",
      ...key,
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.crt`,
      "-days",
      "9000",
      "-subj",
      `/CN=${name}`,
    );
  openssl(dir, "req", ...key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1");
  writeFileSync(join(dir, "ca.cnf"), CA_CONFIG);
  for (const [kind, [from, to]] of Object.entries(VALIDITY)) {
    const ca = kind === "stranger" ? "stranger-ca" : "ca";
    writeFileSync(join(dir, "index.txt"), "");
    writeFileSync(join(dir, "serial.txt"), "01\n");
    const dates = ["-startdate", from, "-enddate", to];
    const authority = ["-config", "ca.cnf", "-cert", `${ca}.crt`, "-keyfile", `${ca}.key`];
    openssl(
      dir,
      "ca",
      "-batch",
      ...authority,
      ...dates,
      "-in",
      "server.csr",
      "-out",
      `${kind}.crt`,
      "-notext",
    );
  }
  const certFile = join(dir, "server.crt");
  const use = (kind: CertificateKind) => copyFileSync(join(dir, `${kind}.crt`), certFile);
  use("good");
  return {
    dir,
    ca: readFileSync(join(dir, "ca.crt"), "utf8"),
    certFile,
    keyFile: join(dir, "server.key"),
    use,
  };
}

const CA_CONFIG = `[ca]
default_ca = own
[own]
database = index.txt
serial = serial.txt
new_certs_dir = .
default_md = sha256
policy = any
x509_extensions = server
unique_subject = no
[any]
commonName = supplied
[server]
subjectAltName = IP:127.0.0.1
extendedKeyUsage = serverAuth
`;
