import { connect } from "node:net";

/**
 * Sends bytes to a loopback port and gives the first bytes that come back as latin1 text. Rejects when
 * nobody listens, the connection closes without an answer, or nothing comes within `timeoutMs`.
 */
export function askPort(port: number, question: Buffer | string, timeoutMs = 2_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1" });
    const finish = (settle: () => void) => {
      socket.destroy();
      settle();
    };
    socket.setTimeout(timeoutMs, () => finish(() => reject(new Error(`port ${port} does not answer`))));
    socket.once("error", (cause) => finish(() => reject(cause)));
    socket.once("close", () => reject(new Error(`port ${port} closed the connection`)));
    socket.once("data", (chunk) => finish(() => resolve(chunk.toString("latin1"))));
    socket.once("connect", () => {
      if (question.length > 0) socket.write(question);
    });
  });
}
