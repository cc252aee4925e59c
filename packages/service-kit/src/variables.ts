import { isIP } from "node:net";
import { z } from "zod";

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const MAX_TIMER_MS = 2 ** 31 - 1;

/** A duration with its unit (`500ms`, `30s`, `1h`, `90d`); becomes milliseconds. */
const duration = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .transform((text, ctx) => {
      const m = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
      if (!m) {
        ctx.addIssue({ code: "custom", message: "is a duration with a unit, e.g. 500ms, 30s, 15m, 1h, 90d" });
        return z.NEVER;
      }
      return Number(m[1]) * UNITS[m[2] as keyof typeof UNITS];
    });

/** Milliseconds without a unit, as the source documents have it; bounded by what a timer can hold. */
const milliseconds = (fallback: number) => whole(fallback, 1, MAX_TIMER_MS, "milliseconds, without a unit");

const whole = (fallback: number, min: number, max: number, what = "whole number") =>
  z
    .string()
    .default(String(fallback))
    .transform((text, ctx) => {
      const n = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
      if (!(n >= min && n <= max)) {
        ctx.addIssue({ code: "custom", message: `is a ${what} from ${min} to ${max}` });
        return z.NEVER;
      }
      return n;
    });

const port = () =>
  z
    .string()
    .transform((text, ctx) => {
      const n = /^\d+$/.test(text) ? Number(text) : Number.NaN;
      if (!(n >= 0 && n <= 65_535)) {
        ctx.addIssue({ code: "custom", message: "is a port from 0 (any free one) to 65535" });
        return z.NEVER;
      }
      return n;
    })
    .optional();

const flag = (fallback: boolean) =>
  z
    .enum(["true", "false", "1", "0"], "is true or false")
    .default(fallback ? "true" : "false")
    .transform((text) => text === "true" || text === "1");

const url = (...protocols: string[]) =>
  z.string().superRefine((text, ctx) => {
    const protocol = URL.canParse(text) ? new URL(text).protocol.slice(0, -1) : "";
    if (!protocols.includes(protocol)) {
      ctx.addIssue({
        code: "custom",
        message: `is a URL that starts with ${protocols.map((p) => `${p}://`).join(" or ")}; percent-encode '#', '@' and '%' in a password`,
      });
    }
  });

const list = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .transform((text) =>
      text
        .split(",")
        .map((item) => item.trim())
        .filter((item) => item !== ""),
    );

/** Addresses with or without a mask, or the names of ranges. */
const addresses = (fallback: string) =>
  list(fallback).refine(
    (all) =>
      all.every((one) => {
        const [address = "", bits = "0"] = one.split("/", 2);
        const known = ["loopback", "linklocal", "uniquelocal"].includes(one);
        return known || (isIP(address) !== 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= 128);
      }),
    "is a list of addresses such as 10.0.0.0/8, or loopback, linklocal, uniquelocal",
  );

const timeZone = () =>
  z
    .string()
    .default("UTC")
    .refine((zone) => {
      try {
        new Intl.DateTimeFormat("en", { timeZone: zone });
        return true;
      } catch {
        return false;
      }
    }, "is an IANA time zone such as Europe/Amsterdam");

/**
 * Every environment variable of the system, once. A service picks the ones it reads with
 * {@link createConfig}; a `SLUICE_*` name that is not here is refused at start.
 * Each may also be given as `<NAME>_FILE`, the path of a file that holds the value.
 */
export const variables = {
  // servers
  REDIS_URL: url("redis", "rediss", "redis-cluster", "rediss-cluster", "unix"),
  BUS_URL: url("redis", "rediss", "redis-cluster", "rediss-cluster", "unix", "nats", "tls").optional(),
  DATABASE_URL: url("postgres", "postgresql"),
  /** Past a pooler in transaction mode, for what needs a session: being told of changed credentials. */
  DATABASE_DIRECT_URL: url("postgres", "postgresql").optional(),
  MQTT_URL: url("mqtt", "mqtts", "ws", "wss")
    .refine(
      (text) => !URL.canParse(text) || new URL(text).search === "",
      "carries no options: the session is always persistent, at QoS 1, under SLUICE_MQTT_CLIENT_ID",
    )
    .optional(),
  INFLUXDB_URL: url("http", "https"),
  INFLUXDB_TOKEN: z.string().optional(),
  INFLUXDB_USERNAME: z.string().optional(),
  INFLUXDB_PASSWORD: z.string().optional(),
  INFLUXDB_ORG: z.string().default("iotflow"),
  INFLUXDB_BUCKET: z.string().default("telemetry"),
  INFLUXDB_VERSION: z.enum(["1", "2", "3"], "is 1, 2 or 3").default("2"),
  INFLUXDB_TIMEOUT: milliseconds(10_000),
  INFLUXDB_BATCH_SIZE: whole(5000, 1, 20_000, "number of points"),
  INFLUXDB_FLUSH_INTERVAL: milliseconds(10_000),
  // every process
  LOG_LEVEL: z.enum(["trace", "debug", "info", "warn", "error", "fatal"]).default("info"),
  LOG_FILE: z.string().optional(),
  SLUICE_OPS_PORT: port(),
  SLUICE_OTLP_URL: url("http", "https").optional(),
  SLUICE_TRACE_RATIO: z.coerce
    .number("is a share between 0 and 1")
    .min(0, "is a share between 0 and 1")
    .max(1, "is a share between 0 and 1")
    .default(0.01),
  SLUICE_HOST: z.string().default("127.0.0.1"),
  /** Whose word is taken for where a request comes from (X-Forwarded-For). */
  SLUICE_TRUSTED_PROXIES: addresses("loopback"),
  SLUICE_DATA_DIR: z.string().optional(),
  SLUICE_STOP_TIMEOUT: duration("10s"),
  SLUICE_PARTITIONS: whole(1, 1, 64),
  SLUICE_CONSUMER: z
    .string()
    .regex(/^[A-Za-z0-9_.-]{1,64}$/, "is 1-64 letters, digits, '_', '.' or '-'")
    .optional(),
  SLUICE_ALLOW_UNSAFE: flag(false),
  // gateway
  SLUICE_TOPIC_ROOT: z
    .string()
    .regex(/^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)*$/, "is a topic prefix without wildcards")
    .default("iotflow"),
  SLUICE_TOPIC_MAPS: z.string().optional(),
  SLUICE_MQTT_PORT: port(),
  SLUICE_MQTTS_PORT: port(),
  SLUICE_WS_PORT: port(),
  SLUICE_HTTP_PORT: port(),
  SLUICE_TLS_CERT: z.string().optional(),
  SLUICE_TLS_KEY: z.string().optional(),
  SLUICE_TLS_CLIENT_CA: z.string().optional(),
  SLUICE_HTTPS_PORT: port(),
  SLUICE_DEVICE_RATE: whole(1000, 0, 1_000_000, "number of messages a second (0: no limit)"),
  SLUICE_DEVICE_BYTES: whole(4_194_304, 0, 1_000_000_000, "number of bytes a second (0: no limit)"),
  SLUICE_PEPPER: z.string().min(16, "has at least 16 characters"),
  SLUICE_SINKS: list("postgres,influx"),
  SLUICE_MAX_CONNECTIONS: whole(50_000, 1, 1_000_000),
  SLUICE_MAX_PACKET_BYTES: whole(262_144, 1024, 16_777_216, "number of bytes"),
  SLUICE_STRICT_CLIENT_ID: flag(false),
  SLUICE_TIME_ZONE: timeZone(),
  SLUICE_MQTT_CLIENT_ID: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,48}$/, "is 1-48 letters, digits, '_' or '-'")
    .refine(
      (id) => !/random|uuid|mqttjs_|^[0-9a-f]{8}(-[0-9a-f]{4}){3}/i.test(id),
      "stays the same at every start: the broker keeps messages under it, and a random one would lose them",
    )
    .default("sluice-gateway"),
  SLUICE_MQTT_CONNECTIONS: whole(4, 0, 32),
  SLUICE_MQTT_SHARED: z.enum(["auto", "true", "false"], "is auto, true or false").default("auto"),
  SLUICE_MQTT_TRUST: z
    .enum(["broker", "api_key"], "is broker (it authenticates devices) or api_key (keys inside payloads)")
    .default("broker"),
  SLUICE_MQTT_CA: z.string().optional(),
  SLUICE_MQTT_QOS: z.enum(["1"], "is 1: with QoS 0 the broker forgets what we have not stored").default("1"),
  SLUICE_MQTT_CLEAN: z
    .enum(["false", "0"], "is false: with a clean session the broker forgets what we have not stored")
    .default("false"),
  MAX_FUTURE: duration("1h"),
  // back-pressure
  SLUICE_HIGH_WATER: z.coerce
    .number("is a share between 0.1 and 0.99")
    .min(0.1, "is a share between 0.1 and 0.99")
    .max(0.99, "is a share between 0.1 and 0.99")
    .default(0.8),
  SLUICE_PARK_MAX_MB: whole(20_480, 0, 10_000_000, "number of megabytes"),
  // quarantine
  SLUICE_QUARANTINE_DAYS: whole(90, 1, 36_500, "number of days"),
  SLUICE_QUARANTINE_MAX_MB: whole(2048, 1, 1_000_000, "number of megabytes"),
  // stream-worker
  SLUICE_AUTO_REGISTER: flag(true),
  SLUICE_SENSOR_BUDGET: whole(256, 1, 100_000),
  SLUICE_BATCH_MESSAGES: whole(8192, 1, 20_000, "number of messages"),
  // alert-worker
  SLUICE_SMTP_URL: url("smtp", "smtps").optional(),
  SLUICE_ALERT_FROM: z.string().default("Sluice <sluice@localhost>"),
  SLUICE_WEBHOOK_ALLOW: list(""),
  SLUICE_ALERT_MAX_AGE: duration("15m"),
  // etl-scheduler
  ETL_ENABLED: flag(false),
  ETL_HOURLY_INTERVAL_MINUTES: whole(65, 1, 10_080, "number of minutes"),
  ETL_DAILY_HOUR: whole(1, 0, 23, "hour"),
  ETL_HOURLY_RETENTION_DAYS: whole(90, 1, 36_500, "number of days"),
  ETL_CONDITION_CALC_ENABLED: flag(true),
  // machines: the document's source and aggregation databases, on one server
  DB_HOST: z.string().optional(),
  DB_PORT: port(),
  DB_USER: z.string().optional(),
  DB_PASSWORD: z.string().optional(),
  DB_NAME: z.string().optional(),
  AGG_DB_NAME: z.string().optional(),
  // water network
  PROCESSING_INTERVAL_MINUTES: whole(30, 1, 1440, "number of minutes"),
  PROCESSING_PARALLEL_NODES: whole(4, 1, 64, "number of nodes"),
  GOOGLE_APPLICATION_CREDENTIALS: z.string().optional(),
  BIGQUERY_PROJECT_ID: z.string().optional(),
  BIGQUERY_DATASET: z.string().default("water_infrastructure"),
  BIGQUERY_TABLE: z.string().default("sensor_readings_ml"),
  BIGQUERY_ENDPOINT: url("http", "https").optional(),
  // api
  DATABASE_READ_URL: url("postgres", "postgresql").optional(),
  SLUICE_EXTRA_PORTS: list("").pipe(
    z.array(
      z
        .string()
        .regex(/^\d{1,5}$/, "are ports, separated by commas")
        .transform(Number),
    ),
  ),
  SLUICE_API_HTTPS_PORT: port(),
  SLUICE_GATEWAY_URL: url("http", "https").optional(),
  SLUICE_PUBLIC_URL: url("http", "https").optional(),
  SLUICE_CORS_ORIGINS: list(""),
  SLUICE_RATE_LIMIT: whole(100_000, 1, 100_000_000, "number of requests a minute"),
  // cli
  /** A superuser's, for making the services' roles. */
  DATABASE_ADMIN_URL: url("postgres", "postgresql").optional(),
  SLUICE_ROLE_PASSWORDS: list("").pipe(
    z
      .array(
        z
          .string()
          .regex(
            /^[a-z_]+=.{16,}$/,
            "is a list such as sluice_api=…,sluice_worker=… of 16 or more characters each",
          ),
      )
      .transform((pairs) => new Map(pairs.map((pair) => pair.split(/=(.*)/s, 2) as [string, string]))),
  ),
  SLUICE_SERVICES: z.string().optional(),
  SLUICE_LAG_WARN: whole(5000, 1, Number.MAX_SAFE_INTEGER),
  SLUICE_REDIS_MAXMEMORY: z
    .string()
    .regex(/^\d+(kb|mb|gb)$/, "is a size such as 512mb or 2gb")
    .default("1gb"),
  SLUICE_MOSQUITTO_URL: url("mqtt", "mqtts", "ws", "wss").optional(),
  SLUICE_SAMPLE_DATA: z.string().optional(),
  SLUICE_PACKS_DIR: z.string().optional(),
  SLUICE_DEVICE_USERNAME: z.string().optional(),
  SLUICE_DEVICE_PASSWORD: z.string().optional(),
  SLUICE_YES: flag(false),
  SLUICE_NO_TTY: flag(false),
} as const;

/** Name of a variable. */
export type Variable = keyof typeof variables;

/** Schema of the variables a process reads. */
export function createConfig<K extends Variable>(...names: K[]): z.ZodObject<Pick<typeof variables, K>> {
  const shape = Object.fromEntries(names.map((name) => [name, variables[name]]));
  return z.object(shape) as unknown as z.ZodObject<Pick<typeof variables, K>>;
}
