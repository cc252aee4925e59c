/** Which of a server's streams of life somebody waits for: how its process ended. */
export interface ServerExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/**
 * A private server process on loopback. It dies with the process that started it, keeps its port and
 * directory across {@link Server.restart}, and writes everything it says to {@link Server.logFile}.
 */
export interface Server {
  /** What it is: `redis`, `postgres`, `influx`, `nats`, `mosquitto`, `victoria-metrics`. */
  readonly name: string;
  /** Where clients connect, credentials included. */
  readonly url: string;
  readonly port: number;
  /** Everything it keeps; removed by {@link Server.stop} only if it was made for this server. */
  readonly dir: string;
  readonly logFile: string;
  /** The running process, undefined while it is down. */
  readonly pid: number | undefined;
  /** Sends a signal (default SIGKILL). For an ending signal it resolves when the process is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Stops it in order if it runs, starts it on the same port and directory, resolves when it serves. */
  restart(): Promise<void>;
  /** Stops it in order, by force if that takes too long. Safe to call twice. */
  stop(): Promise<void>;
  /** Resolves when the present process ends; at once if none runs. */
  exited(): Promise<ServerExit>;
}

/** What every `start…` function takes. */
export interface ServerOptions {
  /** Where to keep data, made if missing and kept afterwards. Default: a temporary directory. */
  dir?: string | undefined;
  /** Loopback port. Default: a free one. */
  port?: number | undefined;
}
