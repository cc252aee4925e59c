import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import * as keda from "@kubernetes-models/keda/keda.sh/v1alpha1";
import { findBinary } from "@sluice/servers";
import * as apps from "kubernetes-models/apps/v1";
import * as batch from "kubernetes-models/batch/v1";
import * as networking from "kubernetes-models/networking.k8s.io/v1";
import * as policy from "kubernetes-models/policy/v1";
import * as core from "kubernetes-models/v1";
import { parseAllDocuments } from "yaml";

const ROOT = join(import.meta.dirname, "../../..");
const FOLDER = join(ROOT, "deploy/kubernetes");
const SERVICES = readdirSync(join(ROOT, "services"));

interface Resource {
  apiVersion: string;
  kind: string;
  metadata: { name: string };
  spec: Record<string, never>;
}
interface PodSpec {
  securityContext: object;
  containers: {
    image: string;
    args: string[];
    securityContext: object;
    resources: { limits: { memory: string } };
    livenessProbe?: object;
    readinessProbe?: object;
    volumeMounts?: { name: string }[];
  }[];
  volumes?: { name: string }[];
}
type Model = new (data: never) => { validate(): void };

/** The API's schemas, by version and kind. */
const MODELS: Record<string, Record<string, unknown>> = {
  v1: core,
  "apps/v1": apps,
  "batch/v1": batch,
  "networking.k8s.io/v1": networking,
  "policy/v1": policy,
  "keda.sh/v1alpha1": keda,
};

const read = (file: string) =>
  parseAllDocuments(readFileSync(join(FOLDER, file), "utf8")).map((document) => document.toJS() as Resource);
const kustomization = read("kustomization.yaml")[0] as unknown as { resources: string[] };
const resources = kustomization.resources.flatMap(read);
const named = resources.map((one) => [`${one.kind} ${one.metadata.name}`, one] as const);

/** Checks a resource against its schema, and gives the keys that the schema never asked for. */
function check(resource: Resource): string[] {
  const Found = MODELS[resource.apiVersion]?.[resource.kind] as Model | undefined;
  if (!Found) throw new Error(`no schema for ${resource.apiVersion} ${resource.kind}`);
  const asked = new Set<string>();
  const model = new Found(resource as never);
  model.validate.call(watch(model, "", asked));
  return listKeys(resource).filter((path) => !asked.has(path));
}

/** Notes every key that is read. Maps of free keys are iterated over, so their keys are, too. */
function watch(value: unknown, path: string, asked: Set<string>): unknown {
  if (typeof value !== "object" || value === null) return value;
  return new Proxy(value, {
    get(target, key) {
      const inner = `${path}/${String(key)}`;
      asked.add(inner);
      return watch(Reflect.get(target, key), inner, asked);
    },
  });
}

function listKeys(value: unknown, path = ""): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [
    `${path}/${key}`,
    ...listKeys(inner, `${path}/${key}`),
  ]);
}

test.each(named)("%s is what the API takes", (_, resource) => {
  expect(check(resource)).toEqual([]);
});

test("the schemas are applied: a wrong one is refused", () => {
  const wrong = (spec: object) =>
    ({ apiVersion: "policy/v1", kind: "PodDisruptionBudget", metadata: { name: "x" }, spec }) as Resource;
  expect(() => check(wrong({ selector: "two" }))).toThrow(/selector/);
  expect(check(wrong({ minAvailable: 1, minAvailabel: 1 }))).toEqual(["/spec/minAvailabel"]);
});

const podOf = (resource: Resource): PodSpec | undefined => {
  const spec = resource.spec as
    | { template?: { spec: PodSpec }; jobTemplate?: { spec: { template: { spec: PodSpec } } } }
    | undefined;
  return spec?.template?.spec ?? spec?.jobTemplate?.spec.template.spec;
};
const pods = named.flatMap(([name, resource]) => {
  const pod = podOf(resource);
  return pod ? [[name, pod] as const] : [];
});

test.each(pods)("%s runs unprivileged, read-only and within limits", (_, pod) => {
  expect(pod.securityContext).toMatchObject({
    runAsNonRoot: true,
    seccompProfile: { type: "RuntimeDefault" },
  });
  for (const container of pod.containers) {
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    expect(container.resources.limits.memory).toMatch(/^\d+[MG]i$/);
    const volumes = (pod.volumes ?? []).map(({ name }) => name);
    for (const { name } of container.volumeMounts ?? []) expect(volumes).toContain(name);
  }
});

describe.each(SERVICES)("%s", (service) => {
  const find = (kind: string) => resources.find((one) => one.kind === kind && one.metadata.name === service);
  test("has a deployment with probes and a disruption budget", () => {
    const [container] = podOf(find("Deployment") as Resource)?.containers ?? [];
    expect(container).toMatchObject({ args: [`services/${service}`], image: "sluice" });
    expect(container?.livenessProbe).toMatchObject({ httpGet: { path: "/health" } });
    expect(container?.readinessProbe).toMatchObject({ httpGet: { path: "/ready" } });
    expect(find("PodDisruptionBudget")).toBeDefined();
  });
});

test("no file of the folder is left out, and no secret is in any", () => {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith(".yaml") && name !== "kustomization.yaml");
  expect([...kustomization.resources].sort()).toEqual(files.sort());
  expect(resources.filter(({ kind }) => kind === "Secret")).toEqual([]);
});

// Where kubectl is, its own kustomize builds the same.
const kubectl = findBinary("kubectl");
(kubectl ? test : test.skip)("kubectl kustomize builds all of it, in its namespace", () => {
  const result = spawnSync(kubectl ?? "", ["kustomize", FOLDER], { encoding: "utf8" });
  expect(result.stderr).toBe("");
  const built = parseAllDocuments(result.stdout).map((document) => document.toJS() as Resource);
  expect(built).toHaveLength(resources.length);
  expect(result.stdout).toContain("image: registry.example/sluice:0.1.0");
});
