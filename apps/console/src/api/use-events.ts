import { useEffect, useRef, useState } from "react";
import type { LiveReading } from "./types/series.ts";

/** Listens to one kind of server-sent event at `url`; whether it hears anything now. */
export function useEvents<T>(url: string | undefined, event: string, listener: (data: T) => void): boolean {
  const [open, setOpen] = useState(false);
  const latest = useRef(listener);
  latest.current = listener;
  useEffect(() => {
    if (url === undefined) return;
    const source = new EventSource(url);
    source.addEventListener("open", () => setOpen(true));
    source.addEventListener("error", () => setOpen(false));
    source.addEventListener(event, (message) =>
      latest.current(JSON.parse((message as MessageEvent).data) as T),
    );
    return () => source.close();
  }, [url, event]);
  return open;
}

/** Hears the readings of one device, or of all. */
export function useReadings(device: string | undefined, listener: (reading: LiveReading) => void): boolean {
  const only = device === undefined ? "" : `&device=${encodeURIComponent(device)}`;
  return useEvents<LiveReading>(`/api/v1/live?events=readings${only}`, "reading", listener);
}
