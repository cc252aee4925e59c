import { useQuery, useQueryClient } from "@tanstack/react-query";
import type { FormEvent } from "react";
import { get, request } from "../../api/request.ts";
import type { DeviceConfig } from "../../api/types/device.ts";
import { instant } from "../../format.ts";
import { useAction } from "../../parts/dialog.tsx";
import { Field } from "../../parts/field.tsx";
import { Problem, Skeleton, Tag } from "../../parts/notice.tsx";
import { Panel } from "../../parts/page.tsx";
import { parseObject } from "./parse-object.ts";

/** What the device is to be set to, and what it says it is set to. */
export function ConfigPanel({ device, mayChange }: { device: string; mayChange: boolean }) {
  const client = useQueryClient();
  const path = `/api/v1/devices/${encodeURIComponent(device)}/config`;
  const key = ["config", device];
  const { data, error } = useQuery({
    queryKey: key,
    queryFn: ({ signal }) => get<DeviceConfig>(path, signal),
    refetchInterval: 5000,
  });
  const save = useAction(async (form: FormData) => {
    await request("PUT", path, parseObject(String(form.get("config"))));
    await client.invalidateQueries({ queryKey: key });
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    void save.run(new FormData(event.currentTarget));
  };
  return (
    <Panel title="Configuration" actions={data && <Agreement config={data} />}>
      {error && <Problem error={error} />}
      {data === undefined && !error && <Skeleton rows={3} />}
      {data && (
        <form className="stack" onSubmit={submit} key={data.version}>
          <Field
            label="What it is to be set to"
            hint="The device gets it on its topic config, retained, with the version; it reports the version it runs."
          >
            {(ids) => (
              <textarea
                {...ids}
                name="config"
                className="short"
                readOnly={!mayChange}
                defaultValue={JSON.stringify(data.config, null, 2)}
                spellCheck={false}
              />
            )}
          </Field>
          {save.error !== undefined && <Problem error={save.error} />}
          {mayChange && (
            <div className="row">
              <button type="submit" disabled={save.busy}>
                Set it
              </button>
            </div>
          )}
        </form>
      )}
    </Panel>
  );
}

function Agreement({ config: { version, reportedVersion, reportedAt } }: { config: DeviceConfig }) {
  if (version === 0) return <span className="muted">none yet</span>;
  return reportedVersion === version ? (
    <Tag tone="ok">version {version} runs</Tag>
  ) : (
    <span title={reportedAt === null ? undefined : instant(reportedAt)}>
      <Tag tone="warn">
        version {version} wanted, {reportedVersion === null ? "none reported" : `${reportedVersion} runs`}
      </Tag>
    </span>
  );
}
