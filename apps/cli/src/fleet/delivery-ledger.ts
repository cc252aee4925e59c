import { open } from "node:fs/promises";

/** A file with one line per acknowledged message, each on disk before it counts. */
export interface DeliveryLedger {
  /** Queues the line `device boot seq`; lines of one moment share an fsync. */
  acknowledged(device: string, boot: string, seq: number): void;
  /** Writes and syncs what is queued, then closes the file. Rejects if any line could not be written. */
  close(): Promise<void>;
}

/** Opens the file for appending, so that several runs can share it. */
export async function openDeliveryLedger(path: string): Promise<DeliveryLedger> {
  const file = await open(path, "a");
  let queued: string[] = [];
  let writing: Promise<void> | undefined;
  let failure: unknown;
  const drain = async () => {
    while (queued.length > 0) {
      const lines = queued;
      queued = [];
      await file.writeFile(lines.join(""));
      await file.datasync();
    }
  };
  return {
    acknowledged(device, boot, seq) {
      queued.push(`${device} ${boot} ${seq}\n`);
      writing ??= drain()
        .catch((error: unknown) => {
          failure ??= error;
        })
        .finally(() => {
          writing = undefined;
        });
    },
    async close() {
      while (writing) await writing;
      await drain();
      await file.close();
      if (failure !== undefined) throw failure;
    },
  };
}
