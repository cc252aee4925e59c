import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { request } from "../../api/request.ts";
import type { FleetGroup } from "../../api/types/device.ts";
import { useList } from "../../api/use-list.ts";
import { useMay } from "../../api/use-session.ts";
import { AddButton } from "../../parts/add-button.tsx";
import { Confirm, Dialog } from "../../parts/dialog.tsx";
import { Field } from "../../parts/field.tsx";
import { FormEnd, useForm } from "../../parts/form.tsx";
import { Listing } from "../../parts/listing.tsx";
import { Empty } from "../../parts/notice.tsx";
import { splitNames } from "../../parts/split-names.ts";
import { CommandFields, readCommand } from "./command-fields.tsx";

const KEY = ["fleet"];
const pathOf = (name: string) => `/api/v1/fleet/${encodeURIComponent(name)}`;
const COLUMNS = ["Group", "Devices", { name: "Actions", hidden: true }];
type Open = { what: "set" | "command" | "remove"; group: FleetGroup };

/** Groups of devices that are told the same. */
export function FleetGroups() {
  const mayWrite = useMay("write");
  const client = useQueryClient();
  const [open, setOpen] = useState<Open>();
  const close = () => setOpen(undefined);
  const groups = useList<FleetGroup>(KEY, "/api/v1/fleet", "groups");
  const add = mayWrite && (
    <AddButton onClick={() => setOpen({ what: "set", group: { name: "", description: null, devices: [] } })}>
      Add a group
    </AddButton>
  );
  return (
    <>
      <Listing
        title="Groups"
        actions={add}
        result={groups}
        columns={COLUMNS}
        keyOf={({ name }) => name}
        empty={
          <Empty title="No groups yet" action={add}>
            A group gets one command for all of its devices, such as a restart of every pump.
          </Empty>
        }
      >
        {(group) => (
          <tr>
            <td>
              <strong>{group.name}</strong>
              {group.description && (
                <>
                  <br />
                  <small className="muted">{group.description}</small>
                </>
              )}
            </td>
            <td className="wrap">
              {group.devices.map((id, i) => (
                <span key={id}>
                  {i > 0 && ", "}
                  <Link to={`/devices/${encodeURIComponent(id)}`}>{id}</Link>
                </span>
              ))}
            </td>
            <td className="num">
              {mayWrite && (
                <span className="row end">
                  {(["command", "set", "remove"] as const).map((what) => (
                    <button
                      key={what}
                      type="button"
                      className={what === "remove" ? "small danger" : "small"}
                      onClick={() => setOpen({ what, group })}
                    >
                      {{ command: "Command …", set: "Change", remove: "Delete" }[what]}
                      <span className="hidden"> {group.name}</span>
                    </button>
                  ))}
                </span>
              )}
            </td>
          </tr>
        )}
      </Listing>
      {open?.what === "set" && <SetGroup group={open.group} onClose={close} />}
      {open?.what === "command" && <CommandGroup group={open.group} onClose={close} />}
      {open?.what === "remove" && (
        <Confirm
          title={`Delete ${open.group.name}`}
          action="Delete"
          onClose={close}
          onConfirm={async () => {
            await request("DELETE", pathOf(open.group.name));
            await client.invalidateQueries({ queryKey: KEY });
          }}
        >
          <p>Its devices stay, and what they were told.</p>
        </Confirm>
      )}
    </>
  );
}

function SetGroup({ group, onClose }: { group: FleetGroup; onClose: () => void }) {
  const client = useQueryClient();
  const { busy, error, wrong, onSubmit } = useForm(async (form) => {
    const text = (name: string) => String(form.get(name)).trim();
    const devices = splitNames(text("devices"));
    await request("PUT", pathOf(group.name || text("name")), {
      description: text("description") || null,
      devices,
    });
    await client.invalidateQueries({ queryKey: KEY });
  }, onClose);
  return (
    <Dialog title={group.name === "" ? "Add a group" : `Change ${group.name}`} onClose={onClose}>
      <form className="stack" onSubmit={onSubmit}>
        {group.name === "" && (
          <Field label="Name" error={wrong.group}>
            {(ids) => (
              <input {...ids} name="name" required pattern="[A-Za-z0-9_\-]{1,64}" placeholder="pumps" />
            )}
          </Field>
        )}
        <Field label="What it is for (optional)" error={wrong.description}>
          {(ids) => <input {...ids} name="description" defaultValue={group.description ?? ""} />}
        </Field>
        <Field label="Devices" hint="ids, with commas or spaces between" error={wrong.devices}>
          {(ids) => (
            <textarea
              {...ids}
              name="devices"
              className="short"
              required
              defaultValue={group.devices.join(", ")}
              placeholder="pump-1, pump-2"
              spellCheck={false}
            />
          )}
        </Field>
        <FormEnd action="Save" busy={busy} error={error} onClose={onClose} />
      </form>
    </Dialog>
  );
}

function CommandGroup({ group, onClose }: { group: FleetGroup; onClose: () => void }) {
  const client = useQueryClient();
  const { busy, error, wrong, onSubmit } = useForm(async (form) => {
    await request("POST", `${pathOf(group.name)}/commands`, readCommand(form));
    await client.invalidateQueries({ queryKey: ["commands"] });
  }, onClose);
  return (
    <Dialog title={`A command to ${group.name}`} onClose={onClose}>
      <form className="stack" onSubmit={onSubmit}>
        <CommandFields wrong={wrong} />
        <p className="muted">
          {group.devices.length} devices get it. How far it got is on the page of each of them, under
          Commands.
        </p>
        <FormEnd action="Send" busy={busy} error={error} onClose={onClose} />
      </form>
    </Dialog>
  );
}
