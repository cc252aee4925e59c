import { Field } from "../../parts/field.tsx";
import { parseObject } from "./parse-object.ts";

/** What has to be said of a command. */
export function CommandFields({ wrong }: { wrong: Readonly<Record<string, string>> }) {
  return (
    <>
      <div className="fields">
        <Field label="Command" hint="the last part of its topic" error={wrong.type}>
          {(ids) => (
            <input {...ids} name="type" required maxLength={64} placeholder="led" autoComplete="off" />
          )}
        </Field>
        <Field
          label="Give up after"
          hint="minutes; it is not sent later than that"
          error={wrong.expiresInSeconds}
        >
          {(ids) => (
            <input {...ids} name="minutes" type="number" min={1} max={43_200} defaultValue={5} required />
          )}
        </Field>
      </div>
      <Field label="What it says" hint="a JSON object; an id is added" error={wrong.payload}>
        {(ids) => (
          <textarea
            {...ids}
            name="payload"
            className="short"
            defaultValue={'{"on": true}'}
            spellCheck={false}
          />
        )}
      </Field>
    </>
  );
}

/** The command that {@link CommandFields} say. */
export const readCommand = (form: FormData) => ({
  type: String(form.get("type")),
  payload: parseObject(String(form.get("payload"))),
  expiresInSeconds: Number(form.get("minutes")) * 60,
});
