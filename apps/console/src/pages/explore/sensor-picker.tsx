import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { get } from "../../api/request.ts";
import type { Sensor } from "../../api/types/device.ts";
import { Field } from "../../parts/field.tsx";
import { Problem, Skeleton } from "../../parts/notice.tsx";
import { MOST_SENSORS } from "./view.ts";

const SHOWN = 200;

/** The list of sensors to tick, by device. */
export function SensorPicker({
  chosen,
  onChange,
}: {
  chosen: readonly string[];
  onChange: (sensors: string[]) => void;
}) {
  const [text, setText] = useState("");
  const { data, error } = useQuery({
    queryKey: ["sensors", "all"],
    queryFn: ({ signal }) => get<{ sensors: Sensor[] }>("/api/v1/sensors?limit=1000", signal),
    refetchInterval: 30_000,
  });
  const named = (data?.sensors ?? [])
    .filter(({ valueType }) => valueType !== "text")
    .map(({ device, field, unit }) => ({ device, field, unit, ref: `${device}/${field}` }));
  const found = named.filter(({ ref }) => ref.toLowerCase().includes(text.trim().toLowerCase()));
  const toggle = (ref: string) =>
    onChange(chosen.includes(ref) ? chosen.filter((other) => other !== ref) : [...chosen, ref]);
  const full = chosen.length >= MOST_SENSORS;
  return (
    <details className="panel picker" open={innerWidth >= 1000 || chosen.length === 0}>
      <summary>
        Sensors <span className="muted">{chosen.length > 0 && `${chosen.length} chosen`}</span>
      </summary>
      <Field label="Find a sensor">
        {(ids) => (
          <input
            {...ids}
            type="search"
            placeholder="temperature"
            value={text}
            onChange={({ target }) => setText(target.value)}
          />
        )}
      </Field>
      {error && <Problem error={error} />}
      {data === undefined && !error && <Skeleton rows={6} />}
      {data && named.length === 0 && (
        <p className="muted">
          There are no sensors yet: they appear with the first reading.{" "}
          <Link to="/devices/new">Add a device</Link>
        </p>
      )}
      {full && <p className="muted">More than {MOST_SENSORS} lines cannot be told apart.</p>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <section className="picker-list" aria-label="Sensors" tabIndex={0}>
        {found.slice(0, SHOWN).map(({ device, field, unit, ref }, index) => (
          <div key={ref}>
            {found[index - 1]?.device !== device && <h3>{device}</h3>}
            <label className="check">
              <input
                type="checkbox"
                checked={chosen.includes(ref)}
                disabled={full && !chosen.includes(ref)}
                onChange={() => toggle(ref)}
                aria-label={ref}
              />
              {field} <span className="muted">{unit}</span>
            </label>
          </div>
        ))}
      </section>
      {found.length > SHOWN && <p className="muted">{found.length - SHOWN} more: type a part of the name.</p>}
      {chosen.length > 0 && (
        <button type="button" className="small" onClick={() => onChange([])}>
          Choose none
        </button>
      )}
    </details>
  );
}
