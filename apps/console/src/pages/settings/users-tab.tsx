import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { request } from "../../api/request.ts";
import type { User } from "../../api/types/session.ts";
import { useList } from "../../api/use-list.ts";
import { useSession } from "../../api/use-session.ts";
import { ago } from "../../format.ts";
import { AddButton } from "../../parts/add-button.tsx";
import { Confirm, Dialog } from "../../parts/dialog.tsx";
import { Field } from "../../parts/field.tsx";
import { FormEnd, useForm } from "../../parts/form.tsx";
import { Listing } from "../../parts/listing.tsx";
import { Tag } from "../../parts/notice.tsx";
import { Panel } from "../../parts/page.tsx";

const ROLES: readonly [User["role"], string][] = [
  ["viewer", "sees everything, changes nothing"],
  ["operator", "also fixes, replays, backfills, acknowledges, commands devices"],
  ["admin", "also makes and removes devices, credentials, people and keys"],
];

/** People who may log in, and what their roles mean. */
export function UsersTab() {
  const [adding, setAdding] = useState(false);
  const [asking, setAsking] = useState<{
    user: User;
    change: Partial<Pick<User, "role" | "status">>;
    text: string;
  }>();
  const client = useQueryClient();
  const own = useSession().session?.email;
  const users = useList<User>(["users"], "/api/v1/users", "users");
  return (
    <div className="stack">
      <Listing
        title="People"
        actions={<AddButton onClick={() => setAdding(true)}>Add a person</AddButton>}
        result={users}
        columns={["Address", "Name", "Role", "State", "Last login", { name: "Actions", hidden: true }]}
        keyOf={({ id }) => id}
        empty={null}
      >
        {(user) => (
          <tr>
            <td>
              <strong>{user.email}</strong> {user.email === own && <span className="muted">you</span>}
            </td>
            <td>{user.fullName ?? "–"}</td>
            <td>
              <select
                aria-label={`Role of ${user.email}`}
                value={user.role}
                onChange={({ target }) => {
                  const role = target.value as User["role"];
                  setAsking({
                    user,
                    change: { role },
                    text: `${user.email} becomes ${role} and has to log in again.`,
                  });
                }}
              >
                {ROLES.map(([role]) => (
                  <option key={role}>{role}</option>
                ))}
              </select>
            </td>
            <td>
              <Tag tone={user.status === "active" ? "ok" : "plain"}>{user.status}</Tag>
            </td>
            <td className="nowrap">{ago(user.lastLogin)}</td>
            <td className="num">
              <button
                type="button"
                className={user.status === "active" ? "small danger" : "small"}
                onClick={() => {
                  const status = user.status === "active" ? ("disabled" as const) : ("active" as const);
                  const text =
                    status === "active"
                      ? `${user.email} may log in again.`
                      : `${user.email} is logged out everywhere and cannot log in any more.`;
                  setAsking({ user, change: { status }, text });
                }}
              >
                {user.status === "active" ? "Disable" : "Enable"}
                <span className="hidden"> {user.email}</span>
              </button>
            </td>
          </tr>
        )}
      </Listing>
      <Panel title="What a role may do">
        <ul className="list">
          {ROLES.map(([role, may]) => (
            <li key={role}>
              <strong>{role}</strong> {may}
            </li>
          ))}
        </ul>
      </Panel>
      {adding && <AddUser onClose={() => setAdding(false)} />}
      {asking && (
        <Confirm
          title="Change a person"
          action="Change"
          onClose={() => setAsking(undefined)}
          onConfirm={async () => {
            await request("PATCH", `/api/v1/users/${asking.user.id}`, asking.change);
            await client.invalidateQueries({ queryKey: ["users"] });
          }}
        >
          <p>{asking.text}</p>
        </Confirm>
      )}
    </div>
  );
}

function AddUser({ onClose }: { onClose: () => void }) {
  const client = useQueryClient();
  const { busy, error, wrong, onSubmit } = useForm(async (form) => {
    const given = Object.fromEntries([...form].filter(([, text]) => text !== ""));
    await request("POST", "/api/v1/users", given);
    await client.invalidateQueries({ queryKey: ["users"] });
  }, onClose);
  return (
    <Dialog title="Add a person" onClose={onClose}>
      <form className="stack" onSubmit={onSubmit}>
        <Field label="E-mail address" error={wrong.email}>
          {(ids) => <input {...ids} name="email" type="email" required autoComplete="off" />}
        </Field>
        <Field label="Name (optional)">{(ids) => <input {...ids} name="fullName" maxLength={255} />}</Field>
        <Field label="Role">
          {(ids) => (
            <select {...ids} name="role" defaultValue="viewer">
              {ROLES.map(([role, may]) => (
                <option key={role} value={role}>
                  {role}: {may}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field label="First password" hint="They can change it under My password." error={wrong.password}>
          {(ids) => (
            <input
              {...ids}
              name="password"
              type="password"
              required
              minLength={12}
              autoComplete="new-password"
            />
          )}
        </Field>
        <FormEnd action="Add" busy={busy} error={error} onClose={onClose} />
      </form>
    </Dialog>
  );
}
