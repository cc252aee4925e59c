import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { get } from "../../api/request.ts";
import type { Credentials } from "../../api/types/device.ts";
import type { Installation } from "../../api/types/flow.ts";
import { Copyable, Tabs } from "../../parts/field.tsx";
import { Notice, Problem, Skeleton } from "../../parts/notice.tsx";
import { type ConnectLines, connectLines } from "./connect-lines.ts";

const WAYS = [
  ["mqtt", "mosquitto_pub"],
  ["http", "curl"],
  ["sketch", "ESP32"],
] as const satisfies readonly (readonly [keyof ConnectLines, string])[];

/** Ready lines for a device and its secrets, or what stands for them. */
export function ConnectPanel({ device, credentials }: { device: string; credentials: Credentials }) {
  const [way, setWay] = useState<keyof ConnectLines>("mqtt");
  const { data, error } = useQuery({
    queryKey: ["installation"],
    queryFn: ({ signal }) => get<Installation>("/api/v1/installation", signal),
    staleTime: Number.POSITIVE_INFINITY,
  });
  if (error) return <Problem error={error} />;
  if (data === undefined) return <Skeleton rows={2} />;
  const lines = connectLines(device, credentials, data, location);
  return (
    <div className="stack">
      <Tabs label="How to send" tabs={WAYS} value={way} onChange={setWay} />
      <Copyable label={way === "sketch" ? "sketch" : "line to paste into a terminal"} text={lines[way]} />
      {way === "sketch" && (
        <p className="muted">
          This sends and forgets. The library in <code>firmware/</code> keeps every sample until it is
          acknowledged: see docs/esp32.md.
        </p>
      )}
    </div>
  );
}

/** The secrets of a device, the one time they are there to be seen. */
export function SecretsOnce({ credentials }: { credentials: Credentials }) {
  const { username, password, apiKey } = credentials;
  return (
    <div className="stack">
      <Notice tone="warn" title="Shown this once">
        Only a hash is kept. Copy what you need now; a lost secret is replaced by a new one.
      </Notice>
      <div className="fields">
        <Copyable label="MQTT username" text={username} />
        <Copyable label="MQTT password" text={password} />
        <Copyable label="API key for HTTP" text={apiKey} />
      </div>
    </div>
  );
}
