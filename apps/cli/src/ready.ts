/** Whether a service's `/ready` answers 200, and which of its dependencies fail if not. */
export interface Readiness {
  ready: boolean;
  failing: string[];
}

/** Asks a service on its operations port; one that does not answer is not ready. */
export async function askReady(host: string, opsPort: number): Promise<Readiness> {
  try {
    const response = await fetch(`http://${urlHost(host)}:${opsPort}/ready`, {
      signal: AbortSignal.timeout(4_000),
    });
    const body = (await response.json()) as { failing?: unknown };
    const failing = Array.isArray(body.failing) ? body.failing.map(String) : [];
    return { ready: response.status === 200, failing };
  } catch {
    return { ready: false, failing: ["no answer"] };
  }
}

/** The address clients on this machine use for a listener on `host`, fit for a url. */
export function urlHost(host: string): string {
  if (host === "0.0.0.0" || host === "") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}
