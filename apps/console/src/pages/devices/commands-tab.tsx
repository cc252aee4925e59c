import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { get, request } from "../../api/request.ts";
import type { Command } from "../../api/types/device.ts";
import { useMay } from "../../api/use-session.ts";
import { ago, instant } from "../../format.ts";
import { Confirm } from "../../parts/dialog.tsx";
import { useForm } from "../../parts/form.tsx";
import { Send } from "../../parts/icons.ts";
import { Empty, Notice, Problem, Skeleton, Tag, type Tone } from "../../parts/notice.tsx";
import { Panel, Table } from "../../parts/page.tsx";
import { useNow } from "../../parts/use-now.ts";
import { CommandFields, readCommand } from "./command-fields.tsx";
import { ConfigPanel } from "./config-panel.tsx";

const TONES: Record<Command["status"], Tone> = {
  pending: "warn",
  sent: "warn",
  delivered: "ok",
  executed: "ok",
  failed: "bad",
  timeout: "bad",
};
const COLUMNS = ["When", "Command", "State", "What it said", { name: "Actions", hidden: true }];

/** What the device was told to do and is to be set to, and what became of it. */
export function CommandsTab({ device }: { device: string }) {
  const mayCommand = useMay("write");
  return (
    <div className="split">
      {mayCommand && (
        <Panel title="Send a command">
          <CommandForm device={device} />
        </Panel>
      )}
      <Panel title="Commands">
        <History device={device} mayCancel={mayCommand} />
      </Panel>
      <ConfigPanel device={device} mayChange={mayCommand} />
    </div>
  );
}

function CommandForm({ device }: { device: string }) {
  const client = useQueryClient();
  const [sent, setSent] = useState<string>();
  const { busy, error, wrong, onSubmit } = useForm(async (form) => {
    setSent(undefined);
    const command = readCommand(form);
    await request("POST", commandsOf(device), command);
    await client.invalidateQueries({ queryKey: ["commands", device] });
    setSent(command.type);
  });
  return (
    <form className="stack" onSubmit={onSubmit}>
      <CommandFields wrong={wrong} />
      {error !== undefined && <Problem error={error} />}
      {sent !== undefined && (
        <Notice tone="ok" title={`${sent} is on its way`}>
          It is kept until the device has it or its time is over; below is how far it got.
        </Notice>
      )}
      <div className="row">
        <button type="submit" className="primary" disabled={busy}>
          <Send size={16} aria-hidden />
          Send
        </button>
      </div>
    </form>
  );
}

function History({ device, mayCancel }: { device: string; mayCancel: boolean }) {
  const now = useNow();
  const client = useQueryClient();
  const [cancelling, setCancelling] = useState<Command>();
  const key = ["commands", device];
  const { data, error } = useQuery({
    queryKey: key,
    queryFn: ({ signal }) => get<{ commands: Command[] }>(`${commandsOf(device)}?limit=50`, signal),
    refetchInterval: 2000,
  });
  if (error) return <Problem error={error} />;
  if (data === undefined) return <Skeleton />;
  if (data.commands.length === 0) {
    return (
      <Empty title="It was never told anything">
        A command waits here until the device is connected, and shows what it answered.
      </Empty>
    );
  }
  return (
    <>
      <Table label="Commands" columns={COLUMNS}>
        {data.commands.map((command) => (
          <tr key={command.id}>
            <td className="nowrap" title={instant(command.issuedAt)}>
              {ago(command.issuedAt, now)}
            </td>
            <td>
              <strong>{command.type}</strong> <code>{JSON.stringify(command.payload)}</code>
            </td>
            <td>
              <Tag tone={TONES[command.status]}>{command.status}</Tag>
            </td>
            <td className="wrap">
              {command.error ?? (command.result === null ? "–" : JSON.stringify(command.result))}
            </td>
            <td className="num">
              {mayCancel && command.status === "pending" && (
                <button type="button" className="small danger" onClick={() => setCancelling(command)}>
                  Take back<span className="hidden"> {command.type}</span>
                </button>
              )}
            </td>
          </tr>
        ))}
      </Table>
      {cancelling && (
        <Confirm
          title={`Take back ${cancelling.type}`}
          action="Take back"
          onClose={() => setCancelling(undefined)}
          onConfirm={async () => {
            await request("DELETE", `/api/v1/commands/${cancelling.id}`);
            await client.invalidateQueries({ queryKey: key });
          }}
        >
          <p>It has not been sent yet and will not be.</p>
        </Confirm>
      )}
    </>
  );
}

const commandsOf = (device: string) => `/api/v1/devices/${encodeURIComponent(device)}/commands`;
