import { useQuery } from "@tanstack/react-query";
import { type KeyboardEvent, useState } from "react";
import { useLocation } from "wouter";
import { get } from "./api/request.ts";
import type { Device, Sensor } from "./api/types/device.ts";
import { Dialog } from "./parts/dialog.tsx";
import { PAGES } from "./shell.tsx";

interface Hit {
  to: string;
  name: string;
  kind: string;
}

const MOST = 12;

/** Finds pages, devices and sensors by any part of their name. */
export function SearchDialog({ onClose }: { onClose: () => void }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const [, navigate] = useLocation();
  const hits = useHits(text);
  const chosen = Math.min(at, hits.length - 1);
  const open = (hit: Hit | undefined) => {
    if (hit === undefined) return;
    onClose();
    navigate(hit.to);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown") setAt(Math.min(chosen + 1, hits.length - 1));
    else if (event.key === "ArrowUp") setAt(Math.max(chosen - 1, 0));
    else if (event.key === "Enter") open(hits[chosen]);
    else return;
    event.preventDefault();
  };
  return (
    <Dialog title="Search" onClose={onClose}>
      <input
        type="search"
        placeholder="esp32_001, temperature, jobs …"
        aria-label="Search devices, sensors and pages"
        role="combobox"
        aria-expanded="true"
        aria-controls="search-hits"
        aria-activedescendant={hits[chosen] ? `hit-${chosen}` : undefined}
        value={text}
        onKeyDown={onKeyDown}
        onChange={(event) => {
          setText(event.target.value);
          setAt(0);
        }}
      />
      <div className="hits" id="search-hits" role="listbox" aria-label="Found">
        {hits.map((hit, index) => (
          <div
            key={`${hit.kind} ${hit.to}`}
            id={`hit-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === chosen}
            onClick={() => open(hit)}
            onKeyDown={onKeyDown}
            // a list that appears under a mouse that rests is not pointed at
            onPointerMove={({ movementX, movementY }) => (movementX !== 0 || movementY !== 0) && setAt(index)}
          >
            <span>{hit.name}</span>
            <small className="muted">{hit.kind}</small>
          </div>
        ))}
      </div>
      {hits.length === 0 && <p className="muted">Nothing is called that.</p>}
    </Dialog>
  );
}

function useHits(text: string): Hit[] {
  const devices = useQuery({
    queryKey: ["devices", "all"],
    queryFn: ({ signal }) => get<{ devices: Device[] }>("/api/v1/devices?limit=1000", signal),
  });
  const sensors = useQuery({
    queryKey: ["sensors", "all"],
    queryFn: ({ signal }) => get<{ sensors: Sensor[] }>("/api/v1/sensors?limit=1000", signal),
  });
  const wanted = text.trim().toLowerCase();
  const all: Hit[] = [
    ...PAGES.map(({ to, name }) => ({ to, name, kind: "page" })),
    ...(devices.data?.devices ?? []).map(({ id, name }) => ({
      to: `/devices/${encodeURIComponent(id)}`,
      name: name === null ? id : `${id} · ${name}`,
      kind: "device",
    })),
    ...(sensors.data?.sensors ?? []).map(({ device, field }) => ({
      to: `/explore?s=${encodeURIComponent(`${device}/${field}`)}`,
      name: `${device}/${field}`,
      kind: "sensor",
    })),
  ];
  return all.filter(({ name }) => name.toLowerCase().includes(wanted)).slice(0, MOST);
}
