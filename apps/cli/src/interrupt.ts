/** Exit codes of a command that a signal ended. */
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Runs `work` with a signal that aborts on Ctrl-C or SIGTERM, so that it can end in order and report what it
 * did; the exit code then says what ended it. A second Ctrl-C ends the process at once.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  let ended: keyof typeof EXIT_CODES | undefined;
  const stop = (name: keyof typeof EXIT_CODES) => () => {
    ended = name;
    remove();
    abort.abort();
  };
  const handlers = { SIGINT: stop("SIGINT"), SIGTERM: stop("SIGTERM") };
  const remove = () => {
    process.off("SIGINT", handlers.SIGINT);
    process.off("SIGTERM", handlers.SIGTERM);
  };
  process.on("SIGINT", handlers.SIGINT);
  process.on("SIGTERM", handlers.SIGTERM);
  try {
    return await work(abort.signal);
  } finally {
    remove();
    if (ended) process.exitCode = EXIT_CODES[ended];
  }
}
