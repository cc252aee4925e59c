import type { Resource } from "@sluice/shared-types";

/** State of one dependency. */
export interface Check {
  name: string;
  ok: boolean;
  error?: string;
}

/** The resources a process has opened: pinged together, closed last opened first. */
export interface Readiness {
  add(name: string, resource: Resource): void;
  check(): Promise<Check[]>;
  closeAll(onError: (name: string, error: unknown) => void): Promise<void>;
}

/** Opens an empty list; a ping that takes longer than `timeoutMs` counts as failed. */
export function createReadiness(timeoutMs = 2000): Readiness {
  const opened: { name: string; resource: Resource }[] = [];
  const one = async ({ name, resource }: (typeof opened)[number]): Promise<Check> => {
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs);
    });
    try {
      await Promise.race([resource.ping(), limit]);
      return { name, ok: true };
    } catch (error) {
      return { name, ok: false, error: error instanceof Error ? error.message : String(error) };
    } finally {
      clearTimeout(timer);
    }
  };
  return {
    add: (name, resource) => void opened.push({ name, resource }),
    check: () => Promise.all(opened.map(one)),
    closeAll: async (onError) => {
      for (const { name, resource } of opened.splice(0).reverse()) {
        await resource.close().catch((error: unknown) => onError(name, error));
      }
    },
  };
}
