import { type FormEvent, useEffect } from "react";
import { useLogin } from "../api/use-session.ts";
import { useAction } from "../parts/dialog.tsx";
import { Field } from "../parts/field.tsx";
import { Logo } from "../parts/logo.tsx";
import { Problem } from "../parts/notice.tsx";

/** Asks who it is. */
export function LoginPage() {
  const { login } = useLogin();
  const { busy, error, run } = useAction(login);
  useEffect(() => {
    document.title = "Log in · Sluice";
  }, []);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    void run(String(form.get("email")), String(form.get("password")));
  };
  return (
    <main className="login">
      <form onSubmit={submit}>
        <div className="login-brand">
          <Logo size={36} />
          <h1>Sluice</h1>
        </div>
        <Field label="E-mail address">
          {(ids) => <input {...ids} name="email" type="email" autoComplete="username" required />}
        </Field>
        <Field label="Password">
          {(ids) => (
            <input {...ids} name="password" type="password" autoComplete="current-password" required />
          )}
        </Field>
        {error !== undefined && <Problem error={error} />}
        <button type="submit" className="primary" disabled={busy}>
          {busy ? "Logging in …" : "Log in"}
        </button>
        <details>
          <summary>First time here, or forgotten?</summary>
          <p>The first start printed an address and a password, once. For a new password:</p>
          <pre>./sluice users password admin@sluice.local</pre>
        </details>
      </form>
    </main>
  );
}
