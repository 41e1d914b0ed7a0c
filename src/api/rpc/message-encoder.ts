import { type DescField, type DescMessage, type Message, ScalarType, toBinary } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence as Presence } from "@bufbuild/protobuf/wkt";
import { headBytes } from "./envelope.ts";

/** Writes a message's fields. */
type Write = (out: Output, message: Fields) => void;
/** Writes one value, without its tag. */
type WriteValue = (out: Output, value: unknown) => void;
/** A message as what it is while running. */
type Fields = { readonly [name: string]: unknown };

/** What is not written here, but by protobuf-es: it knows everything there is, and what is wrong with what is wrong. */
class Unwritable extends Error {
  override name = "Unwritable";
}

const smallest = 64 * 1024;
/** An output that has grown beyond this is not kept. */
const largestKept = 1024 * 1024;

/**
 * Bytes that grow. One is used again and again: protobuf-es makes two typed arrays a message, whose memory lies outside of the heap,
 * and they cost more than all that is written into them.
 */
class Output {
  bytes = Buffer.allocUnsafeSlow(smallest);
  at = 0;

  room(size: number): void {
    if (this.at + size <= this.bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.bytes.length, this.at + size));
    this.bytes.copy(larger, 0, 0, this.at);
    this.bytes = larger;
  }

  /** An unsigned whole number of up to 53 bits. */
  varint(value: number): void {
    this.room(10);
    let left = value;
    while (left > 0x7fffffff) {
      this.bytes[this.at++] = (left % 128) | 128;
      left = Math.floor(left / 128);
    }
    while (left > 127) {
      this.bytes[this.at++] = (left & 127) | 128;
      left >>>= 7;
    }
    this.bytes[this.at++] = left;
  }

  text(value: string): void {
    const { length } = value;
    this.room(3 * length + 5);
    if (length < 128 && this.#plain(value)) return;
    this.varint(Buffer.byteLength(value));
    this.at += this.bytes.write(value, this.at, "utf8");
  }

  /** Writes a short text of ASCII alone. @returns whether it is one */
  #plain(value: string): boolean {
    const { bytes, at } = this;
    const { length } = value;
    bytes[at] = length;
    for (let index = 0; index < length; index++) {
      const code = value.charCodeAt(index);
      if (code > 127) return false;
      bytes[at + 1 + index] = code;
    }
    this.at = at + 1 + length;
    return true;
  }

  /** Writes something behind its length in bytes. */
  delimited(write: Write, message: Fields): void {
    this.room(1);
    const start = ++this.at;
    write(this, message);
    const length = this.at - start;
    if (length < 128) {
      this.bytes[start - 1] = length;
      return;
    }
    // Nobody knew before how long it would be: it makes room.
    const extra = length < 1 << 14 ? 1 : length < 1 << 21 ? 2 : length < 1 << 28 ? 3 : 4;
    this.room(extra);
    this.bytes.copyWithin(start + extra, start, this.at);
    this.at = start - 1;
    this.varint(length);
    this.at += length;
  }
}

let shared = new Output();

/**
 * Messages as a stream has them, each behind its head. What they say is what protobuf-es would have written, byte for byte.
 * @throws Error when a message cannot be written
 */
export function framesOf(type: DescMessage, messages: readonly Message[]): Buffer {
  const out = shared;
  out.at = 0;
  const write = writerOf(type);
  for (const message of messages) {
    out.room(headBytes);
    const start = out.at;
    out.at += headBytes;
    try {
      write(out, message as unknown as Fields);
    } catch {
      const bytes = toBinary(type, message);
      out.at = start + headBytes;
      out.room(bytes.length);
      out.bytes.set(bytes, out.at);
      out.at += bytes.length;
    }
    out.bytes[start] = 0;
    out.bytes.writeUInt32BE(out.at - start - headBytes, start + 1);
  }
  const frames = Buffer.from(out.bytes.subarray(0, out.at));
  if (out.bytes.length > largestKept) shared = new Output();
  return frames;
}

const writers = new WeakMap<DescMessage, Write>();

/** The writer of a type, made when it is first asked for. */
function writerOf(type: DescMessage): Write {
  const known = writers.get(type);
  if (known) return known;
  const fields: Write[] = [];
  const write: Write = (out, message) => {
    if (message["$unknown"] !== undefined) throw new Unwritable();
    for (let index = 0; index < fields.length; index++) (fields[index] as Write)(out, message); // within its bounds
  };
  // Before its fields are looked at: types may hold themselves.
  writers.set(type, write);
  for (const field of type.fields.toSorted((a, b) => a.number - b.number)) fields.push(fieldWriter(field));
  return write;
}

function fieldWriter(field: DescField): Write {
  const { localName } = field;
  if (field.fieldKind === "list") return listWriter(field);
  if (field.fieldKind === "map") return mapWriter(field);
  const write = taggedWriter(field);
  const { oneof } = field;
  if (oneof) {
    return (out, message) => {
      const set = message[oneof.localName] as { readonly case: string | undefined; readonly value?: unknown };
      if (set.case === localName) write(out, set.value);
    };
  }
  if (field.presence !== Presence.IMPLICIT) {
    return (out, message) => {
      const value = message[localName];
      if (value !== undefined && Object.hasOwn(message, localName)) write(out, value);
    };
  }
  const isZero = zeroOf(field);
  return (out, message) => {
    const value = message[localName];
    if (!isZero(value)) write(out, value);
  };
}

function zeroOf(field: DescField): (value: unknown) => boolean {
  switch (field.fieldKind === "enum" ? ScalarType.INT32 : field.scalar) {
    case ScalarType.STRING:
      return (value) => value === "";
    case ScalarType.BOOL:
      return (value) => value === false;
    case ScalarType.BYTES:
      return (value) => value instanceof Uint8Array && value.length === 0;
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return (value) => Object.is(value, 0);
    case ScalarType.INT64:
    case ScalarType.UINT64:
      return (value) => value === 0n;
    default:
      return (value) => value === 0;
  }
}

/** How a value lies on the wire. */
const varintType = 0;
const wideType = 1;
const delimitedType = 2;
const narrowType = 5;

/** Writes a field's value, or one of its values, behind its tag. */
function taggedWriter(field: DescField): WriteValue {
  const { message } = field;
  if (message) {
    if (field.fieldKind !== "map" && field.delimitedEncoding) return unwritable;
    const tag = field.number * 8 + delimitedType;
    const write = isOrdinary(message) ? writerOf(message) : unwritable;
    return (out, value) => {
      out.varint(tag);
      out.delimited(write as Write, value as Fields); // a field of messages
    };
  }
  const { wireType, write } = scalarWriter(field.enum ? ScalarType.INT32 : field.scalar);
  const tag = field.number * 8 + wireType;
  return (out, value) => {
    out.varint(tag);
    write(out, value);
  };
}

/** protobuf-es shows some messages of Google's as something else. */
function isOrdinary({ typeName }: DescMessage): boolean {
  return !/^google\.protobuf\.(Struct|Value|ListValue|\w+Value)$/.test(typeName);
}

function listWriter(field: DescField & { fieldKind: "list" }): Write {
  const { localName } = field;
  if (field.listKind !== "message" && field.packed) {
    const { write } = scalarWriter(field.listKind === "enum" ? ScalarType.INT32 : field.scalar);
    const tag = field.number * 8 + delimitedType;
    const writeAll: Write = (out, values) => {
      for (const value of values as unknown as readonly unknown[]) write(out, value);
    };
    return (out, message) => {
      const values = message[localName] as readonly unknown[];
      if (values.length === 0) return;
      out.varint(tag);
      out.delimited(writeAll, values as unknown as Fields);
    };
  }
  const write = taggedWriter(field);
  return (out, message) => {
    const values = message[localName] as readonly unknown[];
    for (let index = 0; index < values.length; index++) write(out, values[index]);
  };
}

function mapWriter(field: DescField & { fieldKind: "map" }): Write {
  const { localName } = field;
  const isWritable = field.mapKey === ScalarType.STRING && field.mapKind !== "message";
  const { wireType, write } = isWritable
    ? scalarWriter(field.mapKind === "enum" ? ScalarType.INT32 : field.scalar)
    : { wireType: delimitedType, write: unwritable };
  const tag = field.number * 8 + delimitedType;
  // Of an entry the key is field 1 and the value field 2.
  const writeEntry: Write = (out, { key, value }) => {
    out.varint(8 + delimitedType);
    out.text(key as string);
    out.varint(16 + wireType);
    write(out, value);
  };
  return (out, message) => {
    const entries = message[localName] as Fields;
    for (const key in entries) {
      out.varint(tag);
      out.delimited(writeEntry, { key, value: entries[key] });
    }
  };
}

const unwritable: WriteValue = () => {
  throw new Unwritable();
};

function scalarWriter(type: ScalarType | undefined): { readonly wireType: number; readonly write: WriteValue } {
  switch (type) {
    case ScalarType.STRING:
      return {
        wireType: delimitedType,
        write(out, value) {
          if (typeof value !== "string") throw new Unwritable();
          out.text(value);
        },
      };
    case ScalarType.BOOL:
      return { wireType: varintType, write: (out, value) => out.varint(value ? 1 : 0) };
    case ScalarType.INT32:
      return { wireType: varintType, write: writeInt32 };
    case ScalarType.UINT32:
      return {
        wireType: varintType,
        write(out, value) {
          if (typeof value !== "number" || value >>> 0 !== value) throw new Unwritable();
          out.varint(value);
        },
      };
    case ScalarType.INT64:
    case ScalarType.UINT64:
      return { wireType: varintType, write: writeInt64 };
    case ScalarType.DOUBLE:
      return { wireType: wideType, write: floatWriter(8) };
    case ScalarType.FLOAT:
      return { wireType: narrowType, write: floatWriter(4) };
    case ScalarType.BYTES:
      return {
        wireType: delimitedType,
        write(out, value) {
          if (!(value instanceof Uint8Array)) throw new Unwritable();
          out.varint(value.length);
          out.room(value.length);
          out.bytes.set(value, out.at);
          out.at += value.length;
        },
      };
    default:
      return { wireType: varintType, write: unwritable };
  }
}

function writeInt32(out: Output, value: unknown): void {
  // What is below zero takes ten bytes, and hardly ever comes.
  if (typeof value !== "number" || (value | 0) !== value || value < 0) throw new Unwritable();
  out.varint(value);
}

function writeInt64(out: Output, value: unknown): void {
  if (typeof value !== "bigint" || value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Unwritable();
  out.varint(Number(value));
}

function floatWriter(size: 4 | 8): WriteValue {
  return (out, value) => {
    if (typeof value !== "number") throw new Unwritable();
    out.room(size);
    // A number beyond a float's range is for protobuf-es to refuse.
    if (size === 4 && Number.isFinite(value) && Math.abs(value) > 3.4028234663852886e38) throw new Unwritable();
    out.at = size === 8 ? out.bytes.writeDoubleLE(value, out.at) : out.bytes.writeFloatLE(value, out.at);
  };
}
