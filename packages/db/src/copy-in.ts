import type pg from "pg";

/** What the driver's connection offers to a query while it runs. */
interface CopyConnection {
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
  stream: { cork(): void; uncork(): void };
}

/** One `COPY … FROM STDIN` whose data is already complete, in the form that the driver's queue takes. */
export class CopyIn implements pg.Submittable {
  private copied = 0;
  /** The driver replaces it when a read timeout is set. */
  callback: (error: Error | null, result?: unknown) => void;

  constructor(
    private readonly statement: string,
    private readonly data: Buffer,
    resolve: (rows: number) => void,
    reject: (error: Error) => void,
  ) {
    this.callback = (error) => (error ? reject(error) : resolve(this.copied));
  }

  submit(connection: pg.Connection): void {
    (connection as unknown as CopyConnection).query(this.statement);
  }

  handleCopyInResponse(connection: CopyConnection): void {
    connection.stream.cork();
    connection.sendCopyFromChunk(this.data);
    connection.endCopyFrom();
    connection.stream.uncork();
  }

  handleCommandComplete(message: { text: string }): void {
    this.copied = Number(message.text.split(" ")[1] ?? 0);
  }

  handleError(error: Error): void {
    this.callback(error); // the driver calls nothing more for a failed query
  }

  handleReadyForQuery(): void {
    this.callback(null);
  }

  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
}
