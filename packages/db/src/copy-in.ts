import pg from "pg";

/** What the driver's connection offers to a query while it runs. */
interface CopyConnection extends pg.Connection {
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
  stream: pg.Connection["stream"] & { cork(): void; uncork(): void };
}

/**
 * Runs one `COPY … FROM STDIN` whose data is already complete; resolves with the rows copied. Statement and data are sent
 * together, so that the next statement need not wait: data of a COPY that is refused is dropped by the server, as the
 * protocol has it.
 */
export function copyIn(client: pg.ClientBase, statement: string, data: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const query = new pg.Query(statement, (error, result) =>
      error ? reject(error) : resolve(result.rowCount ?? 0),
    );
    const submit = query.submit.bind(query);
    query.submit = (connection) => {
      const copying = connection as CopyConnection;
      copying.stream.cork();
      submit(copying);
      copying.sendCopyFromChunk(data);
      copying.endCopyFrom();
      copying.stream.uncork();
    };
    // The driver asks for the data here, and gives up where nobody has any.
    Object.assign(query, { handleCopyInResponse: () => {} });
    client.query(query);
  });
}
