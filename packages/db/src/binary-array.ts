/** PostgreSQL counts microseconds from 2000-01-01. */
const PG_EPOCH_US = 946_684_800_000_000;
const HEADER = 20;
const TWO_32 = 4_294_967_296;

/** Writes `us` (microseconds since 1970) as a binary `timestamptz`. */
export function writeTimestamp(view: DataView, offset: number, us: number): void {
  const pg = us - PG_EPOCH_US;
  const high = Math.floor(pg / TWO_32);
  view.setInt32(offset, high);
  view.setUint32(offset + 4, pg - high * TWO_32);
}

/** Reads a binary `timestamptz`: microseconds since 1970. */
export const readTimestamp = (view: DataView, offset: number): number => PG_EPOCH_US + readInt8(view, offset);

/** Reads a binary `int8` of up to 2^53. */
export const readInt8 = (view: DataView, offset: number): number =>
  view.getInt32(offset) * TWO_32 + view.getUint32(offset + 4);

/** Bytes as they came from PostgreSQL, to be read from. */
export const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength);

/** A binary `int4[]` of the values at `order`, ready as a parameter. */
export function int4Array(values: ArrayLike<number>, order?: ArrayLike<number>): Buffer {
  return encode(23, 4, values, order, (view, at, value) => view.setInt32(at, value));
}

/** A binary `timestamptz[]` of microseconds since 1970. */
export function timestampArray(us: ArrayLike<number>, order?: ArrayLike<number>): Buffer {
  return encode(1184, 8, us, order, writeTimestamp);
}

/** A binary `float8[]`; NaN becomes null. */
export function float8Array(values: ArrayLike<number>, order?: ArrayLike<number>): Buffer {
  return encode(701, 8, values, order, (view, at, value) => view.setFloat64(at, value));
}

function encode(
  oid: number,
  width: number,
  values: ArrayLike<number>,
  order: ArrayLike<number> | undefined,
  write: (view: DataView, offset: number, value: number) => void,
): Buffer {
  const length = order ? order.length : values.length;
  const buffer = Buffer.allocUnsafe(HEADER + length * (4 + width));
  const view = viewOf(buffer);
  view.setInt32(0, length === 0 ? 0 : 1);
  view.setInt32(4, 1);
  view.setInt32(8, oid);
  view.setInt32(12, length);
  view.setInt32(16, 1);
  let at = HEADER;
  for (let i = 0; i < length; i++) {
    const value = values[order ? (order[i] as number) : i] as number;
    if (Number.isNaN(value)) {
      view.setInt32(at, -1);
      at += 4;
    } else {
      view.setInt32(at, width);
      write(view, at + 4, value);
      at += 4 + width;
    }
  }
  return length === 0 ? buffer.subarray(0, 12) : buffer.subarray(0, at);
}
