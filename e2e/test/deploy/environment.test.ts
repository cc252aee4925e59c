import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { OWNER_ROLE, SERVICE_ROLES } from "@sluice/db";
import { Common, loadConfig } from "@sluice/service-kit";
import { parseAllDocuments } from "yaml";
import { accessOf } from "../../../apps/cli/src/up/service-accounts.ts";
import { makeEnv, readComposeEnvironments } from "../../src/deploy/compose-environment.ts";

type Environment = Record<string, string>;

const ROOT = join(import.meta.dirname, "../../..");
const SERVICES = readdirSync(join(ROOT, "services"));
const root = mkdtempSync(join(tmpdir(), "sluice env "));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const { settings } = makeEnv(root);
const compose = readComposeEnvironments(settings);

/** What deploy/kubernetes gives, with the secrets of its script. */
function readKubernetesEnvironments(): Map<string, Environment> {
  const folder = join(ROOT, "deploy/kubernetes");
  const secrets = execFileSync(join(folder, "make-secrets"), {
    encoding: "utf8",
    env: {
      PATH: process.env.PATH,
      DATABASE_ADMIN_URL: "postgres://postgres:admin-of-all@db.example:5432/sluice?sslmode=require",
      REDIS_URL: "redis://:of-redis@redis:6379",
      INFLUXDB_TOKEN: 'odd"\\token',
    },
  });
  const texts = readdirSync(folder)
    .filter((name) => name.endsWith(".yaml"))
    .map((name) => readFileSync(join(folder, name), "utf8"));
  const all = [secrets, ...texts].flatMap((text) => parseAllDocuments(text).map((one) => one.toJS()));
  const sources = new Map<string, Environment>(
    all
      .filter(({ kind }) => kind === "ConfigMap" || kind === "Secret")
      .map((one) => [`${one.kind} ${one.metadata.name}`, one.data ?? one.stringData]),
  );
  const source = (name: string) => sources.get(name) ?? { [`${name} is not there`]: "" };
  const environments = new Map<string, Environment>();
  for (const one of all) {
    const [container] = one.spec?.template?.spec?.containers ?? [];
    if (container === undefined) continue;
    const from: Environment[] = (container.envFrom ?? []).map(
      (ref: { configMapRef?: { name: string }; secretRef?: { name: string } }) =>
        ref.configMapRef
          ? source(`ConfigMap ${ref.configMapRef.name}`)
          : source(`Secret ${ref.secretRef?.name}`),
    );
    for (const { name, value, valueFrom } of container.env ?? []) {
      const { secretKeyRef: key } = valueFrom ?? {};
      from.push({ [name]: value ?? (key ? (source(`Secret ${key.name}`)[key.key] ?? "") : "pod-1") });
    }
    environments.set(one.metadata.name, Object.assign({}, ...from));
  }
  return environments;
}
const kubernetes = readKubernetesEnvironments();

/** What a service reads, from its own declaration. */
async function readSchema(service: string) {
  const { Config } = await import(join(ROOT, "services", service, "src/config.ts"));
  return Config.extend(Common.shape) as typeof Common;
}

const SECRET = /PASSWORD|TOKEN|PEPPER|SECRET/;
/** What is each service's own, or one's to serve and another's to tell. */
const OWN = /^(DATABASE_URL|SLUICE_CONSUMER|SLUICE_HTTP_PORT|SLUICE_TLS_CERT|SLUICE_TLS_KEY)$/;

describe.each([
  ["docker-compose.yml", compose],
  ["deploy/kubernetes", kubernetes],
])("%s", (_, environments) => {
  test.each(SERVICES)("tells %s what it needs, and nothing that it does not read", async (service) => {
    const schema = await readSchema(service);
    const env = environments.get(service) ?? {};
    expect(() => loadConfig(schema, env)).not.toThrow();
    const read = Object.keys(schema.shape);
    expect(Object.keys(env).filter((name) => !read.includes(name))).toEqual([]);
    expect(new URL(env.DATABASE_URL ?? "").username).toBe(accessOf(service).postgres);
    expect(env).toHaveProperty("REDIS_URL");
    if (accessOf(service).influx === undefined) expect(env).not.toHaveProperty("INFLUXDB_TOKEN");
    else
      expect(env).toMatchObject({ INFLUXDB_URL: "http://influxdb:8086", INFLUXDB_TOKEN: expect.any(String) });
    const secrets = Object.keys(env).filter((name) => SECRET.test(name) && !name.startsWith("INFLUXDB_"));
    expect(accessOf(service).secrets ?? []).toEqual(expect.arrayContaining(secrets));
  });

  test("tells two that read the same variable the same", async () => {
    for (const name of SERVICES) {
      const { shape } = await readSchema(name);
      for (const other of SERVICES) {
        for (const [key, value] of Object.entries(environments.get(other) ?? {}))
          if (key in shape && !OWN.test(key))
            expect([name, key, environments.get(name)?.[key]]).toEqual([name, key, value]);
      }
    }
  });

  test("lets every group that a service works for have every message", () => {
    for (const name of ["ingest-gateway", "api"])
      expect(environments.get(name)?.SLUICE_SINKS).toBe("postgres,influx,alerts");
  });

  test("makes every role, with the passwords that the services are given", () => {
    const env = environments.get("migrate") ?? {};
    expect(new URL(env.DATABASE_URL ?? "").username).toBe(OWNER_ROLE);
    const made = new Map(
      (env.SLUICE_ROLE_PASSWORDS ?? "").split(",").map((one) => one.split("=") as [string, string]),
    );
    expect([...made.keys()].sort()).toEqual([OWNER_ROLE, ...SERVICE_ROLES].sort());
    expect(new Set(made.values()).size).toBe(made.size);
    for (const name of [...SERVICES, "migrate"]) {
      const { username, password } = new URL(environments.get(name)?.DATABASE_URL ?? "");
      expect([name, password]).toEqual([name, made.get(username)]);
    }
  });
});

test("make-env.sh makes secrets for their owner alone, and adds what is missing without changing what is there", () => {
  const file = join(root, ".env");
  expect(statSync(file).mode & 0o077).toBe(0);
  const secrets = Object.entries(settings).filter(([name]) => SECRET.test(name));
  for (const [, value] of secrets) expect(value).toMatch(/^[0-9a-f]{48}$/);
  expect(new Set(secrets.map(([, value]) => value)).size).toBe(secrets.length);
  const before = readFileSync(file, "utf8");
  expect(makeEnv(root)).toMatchObject({ said: expect.stringContaining("has everything"), settings });
  expect(readFileSync(file, "utf8")).toBe(before);
});

test("the schedulers of Compose are the same, and Grafana only reads", () => {
  expect(compose.get("processing")).toEqual(compose.get("etl-scheduler"));
  expect(compose.get("grafana")).toMatchObject({ POSTGRES_READER_PASSWORD: expect.any(String) });
  expect(compose.get("grafana")).not.toHaveProperty("POSTGRES_PASSWORD");
  const source = readFileSync(join(ROOT, "deploy/grafana/provisioning/datasources/sluice.yml"), "utf8");
  expect(source).toMatch(/user: sluice_reader\n.*\$POSTGRES_READER_PASSWORD/);
});
