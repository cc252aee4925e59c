import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { Transform } from "node:stream";
import { CsvError, parse } from "csv-parse";

/** How a file is written. */
export interface CsvStyle {
  delimiter: string;
  /** Encoding as the WHATWG names it: `utf-8`, `latin1`, `utf-16le`. */
  encoding: string;
}

/** One record of a file. */
export interface CsvRecord {
  /** Line on which the record ends, from 1. */
  line: number;
  cells: string[];
}

/** A file opened for reading, record by record, in bounded memory. */
export interface CsvFile {
  sizeBytes: number;
  /** Bytes read so far. */
  readBytes(): number;
  /** The records from the first line on; can be iterated once. Errors name the file and the line. */
  records: AsyncIterable<CsvRecord>;
}

const MAX_RECORD_CHARS = 1_048_576;

/** Something about a file that a person has to mend; its message names the file and, where known, the line. */
export class FileError extends Error {
  override readonly name = "FileError";
}

/**
 * Opens a CSV file. Refuses what is no regular file, is empty or binary; a byte-order mark and CRLF are
 * understood. @throws FileError
 */
export async function openCsv(path: string, style: CsvStyle): Promise<CsvFile> {
  const sizeBytes = await checkFile(path, style.encoding);
  let readBytes = 0;
  const decoder = new TextDecoder(style.encoding, { fatal: true });
  const decode = new Transform({
    decodeStrings: false,
    readableObjectMode: false,
    transform(chunk: Buffer, _encoding, done) {
      readBytes += chunk.length;
      decodeChunk(() => decoder.decode(chunk, { stream: true }), done);
    },
    flush: (done) => decodeChunk(() => decoder.decode(), done),
  });
  const parser = parse({
    delimiter: style.delimiter,
    relax_column_count: true,
    relax_quotes: true,
    max_record_size: MAX_RECORD_CHARS,
    info: true,
  });
  const source = createReadStream(path, { highWaterMark: 262_144 });
  source.on("error", (error) => decode.destroy(error));
  decode.on("error", (error) => parser.destroy(error));
  source.pipe(decode).pipe(parser);
  return { sizeBytes, readBytes: () => readBytes, records: readRecords(path, parser, source) };
}

function decodeChunk(decode: () => string, done: (error: Error | null, text?: string) => void): void {
  try {
    done(null, decode());
  } catch (cause) {
    done(cause instanceof Error ? cause : new Error(String(cause)));
  }
}

async function* readRecords(
  path: string,
  parser: ReturnType<typeof parse>,
  source: { destroy(): void },
): AsyncGenerator<CsvRecord> {
  let line = 0;
  try {
    for await (const item of parser) {
      const { info, record } = item as { info: { lines: number }; record: string[] };
      line = info.lines;
      yield { line, cells: record };
    }
  } catch (cause) {
    throw readError(path, line, cause);
  } finally {
    source.destroy();
    parser.destroy();
  }
}

function readError(path: string, line: number, cause: unknown): Error {
  if (cause instanceof CsvError) {
    const at = typeof cause.lines === "number" ? cause.lines : line + 1;
    return new FileError(`${path}, line ${at}: ${cause.message}`, { cause });
  }
  if (cause instanceof TypeError && "code" in cause && cause.code === "ERR_ENCODING_INVALID_ENCODED_DATA") {
    return new FileError(
      `${path}, after line ${line}: bytes that are not valid in this encoding; name the right one with --encoding`,
      { cause },
    );
  }
  if (cause instanceof Error && "code" in cause && typeof cause.code === "string" && "syscall" in cause) {
    return new FileError(`${path}: ${cause.message}`, { cause });
  }
  return cause instanceof Error ? cause : new Error(String(cause));
}

async function checkFile(path: string, encoding: string): Promise<number> {
  try {
    const info = await stat(path);
    if (info.isDirectory()) throw new FileError(`${path} is a directory; name a CSV file in it`);
    if (!info.isFile()) throw new FileError(`${path} is not a regular file`);
    if (info.size === 0) throw new FileError(`${path} is empty`);
    if (!encoding.startsWith("utf-16")) await refuseBinary(path);
    return info.size;
  } catch (cause) {
    if (cause instanceof FileError) throw cause;
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code === "ENOENT") throw new FileError(`${path}: no such file`, { cause });
    if (code === "EACCES") throw new FileError(`${path}: not allowed to read it`, { cause });
    throw new FileError(`${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

async function refuseBinary(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    const head = Buffer.alloc(4096);
    const { bytesRead } = await file.read(head, 0, head.length, 0);
    const start = head.subarray(0, bytesRead);
    if (start.length >= 2 && start.readUInt16BE(0) === 0xfffe) {
      throw new FileError(`${path} is UTF-16; read it with --encoding utf-16le`);
    }
    if (start.includes(0)) throw new FileError(`${path}, line 1: binary data, not CSV`);
  } finally {
    await file.close();
  }
}
