import { request } from "../../api/request.ts";
import { useLogin } from "../../api/use-session.ts";
import { Field } from "../../parts/field.tsx";
import { useForm } from "../../parts/form.tsx";
import { Problem } from "../../parts/notice.tsx";
import { Panel } from "../../parts/page.tsx";

/** Changes one's own password; every session ends with it. */
export function PasswordTab() {
  const { forget } = useLogin();
  const { busy, error, wrong, onSubmit } = useForm(async (form) => {
    await request("PUT", "/api/v1/session/password", Object.fromEntries(form));
  }, forget);
  return (
    <Panel title="My password">
      <form className="stack narrow" onSubmit={onSubmit}>
        <Field label="Present password">
          {(ids) => (
            <input {...ids} name="current" type="password" required autoComplete="current-password" />
          )}
        </Field>
        <Field
          label="New password"
          hint="At least 12 characters. You log in again with it."
          error={wrong.password}
        >
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
        {error !== undefined && <Problem error={error} />}
        <div className="row">
          <button type="submit" className="primary" disabled={busy}>
            Change it
          </button>
        </div>
      </form>
    </Panel>
  );
}
