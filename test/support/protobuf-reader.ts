/** How one kind of value lies on the wire. */
export interface Kind<T> {
  /** 0: varint, 1: eight bytes, 2: with its length before it, 5: four bytes. */
  readonly wireType: number;
  /** @param raw a number where `wireType` is 0, the bytes else */
  read(raw: Raw): T;
  /** What a message says that does not say it. */
  absent(): T;
}

type Raw = bigint | Buffer;

interface Field<T> {
  readonly number: number;
  /** @param raws as often as it stands there, in order */
  read(raws: readonly { readonly wireType: number; readonly raw: Raw }[]): T;
}

type Fields = Readonly<Record<string, Field<unknown>>>;

/** What is read of a message by its fields. */
export type Read<F extends Fields> = { readonly [Name in keyof F]: F[Name] extends Field<infer T> ? T : never };

/** A field that has its kind's absent value when it is not there. */
export function one<T>(number: number, kind: Kind<T>): Field<T> {
  const field = maybe(number, kind);
  return { number, read: (raws) => field.read(raws) ?? kind.absent() };
}

/** A field that may be missing, as those of a `oneof` are. */
export function maybe<T>(number: number, kind: Kind<T>): Field<T | undefined> {
  return {
    number,
    read: (raws) => {
      const last = raws.at(-1);
      if (!last) return undefined;
      if (last.wireType !== kind.wireType) throw wrong(`field ${number} has wire type ${last.wireType}`);
      return kind.read(last.raw);
    },
  };
}

/** A repeated field, packed or not. */
export function many<T>(number: number, kind: Kind<T>): Field<readonly T[]> {
  return {
    number,
    read: (raws) =>
      raws.flatMap(({ wireType, raw }) => {
        if (wireType === kind.wireType) return [kind.read(raw)];
        if (wireType !== 2) throw wrong(`field ${number} has wire type ${wireType}`);
        return unpack(bytesOf(raw), kind);
      }),
  };
}

/** A message of these fields; those that are not named are passed over. */
export function message<F extends Fields>(fields: F): Kind<Read<F>> {
  const read = (raw: Raw) => {
    const found = Map.groupBy(split(bytesOf(raw)), ({ number }) => number);
    const entries = Object.entries(fields).map(([name, field]) => [name, field.read(found.get(field.number) ?? [])]);
    return Object.fromEntries(entries) as Read<F>; // by the fields, one for one
  };
  return { wireType: 2, read, absent: () => read(Buffer.alloc(0)) };
}

/** Reads a whole message. @throws RangeError when the bytes are none */
export function readMessage<T>(bytes: Buffer, kind: Kind<T>): T {
  return kind.read(bytes);
}

/** The kinds of single values. */
export const kinds = {
  text: kind(2, (raw) => bytesOf(raw).toString("utf8"), ""),
  /** Bytes as hexadecimal digits, as identifiers are written. */
  hex: kind(2, (raw) => bytesOf(raw).toString("hex"), ""),
  bool: kind(0, (raw) => numberOf(raw) !== 0n, false),
  /** Signed, of 64 bits: a number where a number holds it, a bigint else. */
  int64: kind<number | bigint>(0, (raw) => narrow(BigInt.asIntN(64, numberOf(raw))), 0),
  /** An enumeration, or an unsigned number that is small. */
  uint32: kind(0, (raw) => Number(numberOf(raw)), 0),
  fixed32: kind(5, (raw) => bytesOf(raw).readUInt32LE(), 0),
  fixed64: kind(1, (raw) => bytesOf(raw).readBigUInt64LE(), 0n),
  sfixed64: kind<number | bigint>(1, (raw) => narrow(bytesOf(raw).readBigInt64LE()), 0),
  double: kind(1, (raw) => bytesOf(raw).readDoubleLE(), 0),
} as const;

function kind<T>(wireType: number, read: (raw: Raw) => T, absent: T): Kind<T> {
  return { wireType, read, absent: () => absent };
}

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function bytesOf(raw: Raw): Buffer {
  if (typeof raw === "bigint") throw wrong("a number stands where bytes are due");
  return raw;
}

function numberOf(raw: Raw): bigint {
  if (typeof raw !== "bigint") throw wrong("bytes stand where a number is due");
  return raw;
}

function wrong(what: string): RangeError {
  return new RangeError(`not a message: ${what}`);
}

/** Takes a message apart, without knowing what it means. */
function split(bytes: Buffer) {
  const cursor = new Cursor(bytes);
  const found: { number: number; wireType: number; raw: Raw }[] = [];
  while (!cursor.atEnd) {
    const tag = Number(cursor.varint());
    const wireType = tag & 7;
    found.push({ number: Math.floor(tag / 8), wireType, raw: cursor.raw(wireType) });
  }
  return found;
}

function unpack<T>(bytes: Buffer, { wireType, read }: Kind<T>): T[] {
  const cursor = new Cursor(bytes);
  const values: T[] = [];
  while (!cursor.atEnd) values.push(read(cursor.raw(wireType)));
  return values;
}

class Cursor {
  #at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  raw(wireType: number): Raw {
    if (wireType === 0) return this.varint();
    if (wireType === 1) return this.#take(8);
    if (wireType === 2) return this.#take(Number(this.varint()));
    if (wireType === 5) return this.#take(4);
    throw wrong(`there is no wire type ${wireType}`);
  }

  varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const [byte = 0] = this.#take(1);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw wrong("a number does not end");
  }

  #take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw wrong(`it ends ${end - this.#bytes.length} bytes early`);
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }
}
