import { useState } from "react";
import { request } from "../../api/request.ts";
import type { Credentials, DeviceDetail } from "../../api/types/device.ts";
import { useMay } from "../../api/use-session.ts";
import { Confirm } from "../../parts/dialog.tsx";
import { KeyRound } from "../../parts/icons.ts";
import { Panel } from "../../parts/page.tsx";
import { ConnectPanel, SecretsOnce } from "./connect-panel.tsx";

/** Its credential, and how to send with it. */
export function ConnectTab({ device }: { device: DeviceDetail }) {
  const [asking, setAsking] = useState(false);
  const [made, setMade] = useState<Credentials>();
  const mayRotate = useMay("admin");
  const { id, access, username } = device;
  return (
    <div className="split">
      <Panel
        title="Credential"
        actions={
          mayRotate &&
          access !== "none" && (
            <button type="button" onClick={() => setAsking(true)}>
              <KeyRound size={16} aria-hidden />
              Make new secrets
            </button>
          )
        }
      >
        {made ? (
          <SecretsOnce credentials={made} />
        ) : (
          <p>
            {access === "none"
              ? "It has no credential of its own: it was seen under another's, or imported. Adding a device of this id gives it one."
              : `It connects as ${username}. Its secrets were shown when they were made, and are kept as hashes only.`}
          </p>
        )}
      </Panel>
      <Panel title="Send a reading">
        <ConnectPanel
          device={id}
          credentials={made ?? { username: username ?? "USERNAME", password: "PASSWORD", apiKey: "API_KEY" }}
        />
        {made === undefined && (
          <p className="muted">Put in the password or key that was shown when they were made.</p>
        )}
      </Panel>
      {asking && (
        <Confirm
          title={`New secrets for ${id}`}
          action="Make them"
          tone="primary"
          onClose={() => setAsking(false)}
          onConfirm={async () =>
            setMade(
              await request<Credentials>("POST", `/api/v1/devices/${encodeURIComponent(id)}/rotate`, {}),
            )
          }
        >
          <p>
            It gets another password and API key. The present ones work for one more hour, so that the device
            can be told.
          </p>
        </Confirm>
      )}
    </div>
  );
}
