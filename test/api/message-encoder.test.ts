import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  type Message,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { DurationSchema, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import {
  CompleteChatRequestSchema,
  CompleteChatResponseSchema,
  StreamChatResponseSchema,
} from "../../gen/ts/everhop/v1/chat_service_pb.ts";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import { framesOf } from "../../src/api/rpc/message-encoder.ts";
import { seededRng } from "../../src/runtime/rng.ts";

type Rng = ReturnType<typeof seededRng>;

const texts = [
  "",
  "a",
  "plain ascii",
  "é",
  "🦘",
  "half \ud800 of one",
  "x".repeat(127),
  "x".repeat(128),
  "ü".repeat(90),
];
const numbers = [0, 1, 127, 128, 300, 2 ** 21, 2 ** 31 - 1, -1, -(2 ** 31)];

function pick<T>(rng: Rng, values: readonly T[]): T {
  return values[Math.floor(rng.next() * values.length)] as T; // within its bounds
}

function scalar(type: ScalarType | undefined, rng: Rng): unknown {
  switch (type) {
    case ScalarType.STRING:
      return rng.next() < 0.05 ? "long ".repeat(5000) : pick(rng, texts);
    case ScalarType.BOOL:
      return rng.next() < 0.5;
    case ScalarType.BYTES:
      return new Uint8Array(Math.floor(rng.next() * 300)).fill(7);
    case ScalarType.INT64:
    case ScalarType.UINT64:
      return pick(rng, [
        0n,
        1n,
        1_700_000_000n,
        2n ** 53n - 1n,
        2n ** 53n,
        ...(type === ScalarType.INT64 ? [-1n] : []),
      ]);
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return pick(rng, [0, -0, 1.5, -0.25, Number.NaN, Number.POSITIVE_INFINITY]);
    case ScalarType.UINT32:
      return pick(
        rng,
        numbers.filter((number) => number >= 0),
      );
    default:
      return pick(rng, numbers);
  }
}

function value(field: DescField, rng: Rng, depth: number): unknown {
  if (field.message) return arbitrary(field.message, rng, depth - 1);
  if (field.enum) return pick(rng, field.enum.values).number;
  return scalar(field.scalar, rng);
}

/** Any message of a type, with about half of its fields set. */
function arbitrary(type: DescMessage, rng: Rng, depth: number): Message {
  const init: Record<string, unknown> = {};
  for (const field of type.fields) {
    if (rng.next() < 0.5 || (field.message && depth === 0)) continue;
    const several = () => Array.from({ length: Math.floor(rng.next() * 3) }, () => value(field, rng, depth));
    if (field.fieldKind === "list") init[field.localName] = several();
    else if (field.fieldKind === "map") {
      const isText = field.mapKey === ScalarType.STRING;
      init[field.localName] = Object.fromEntries(
        several().map((each, index) => [isText ? `key ${index}` : index, each]),
      );
    } else if (field.oneof) init[field.oneof.localName] = { case: field.localName, value: value(field, rng, depth) };
    else init[field.localName] = value(field, rng, depth);
  }
  return create(type, init);
}

/** The frames that protobuf-es's own encoder amounts to. */
function expected(type: DescMessage, messages: readonly Message[]): Buffer {
  return Buffer.concat(
    messages.flatMap((message) => {
      const bytes = toBinary(type, message);
      const head = Buffer.alloc(5);
      head.writeUInt32BE(bytes.length, 1);
      return [head, bytes];
    }),
  );
}

describe("frames of messages", () => {
  const types = [
    CompleteChatRequestSchema,
    CompleteChatResponseSchema,
    StreamChatResponseSchema,
    ErrorInfoSchema,
    RetryInfoSchema,
    DurationSchema,
    TimestampSchema,
  ] as const;

  test.each(types.map((type) => [type.typeName, type] as const))(
    "are those of protobuf-es to the byte: %s",
    (_, type) => {
      const rng = seededRng(11);
      for (let count = 0; count < 400; count++) {
        const messages = Array.from({ length: Math.floor(rng.next() * 4) }, () => arbitrary(type, rng, 6));
        const wanted = expected(type, messages);
        expect(framesOf(type, messages).equals(wanted), JSON.stringify(messages, replacer)).toBe(true);
      }
    },
  );

  test("keep fields that nobody knows", () => {
    const unknown = Uint8Array.from([0xfa, 0x3f, 1, 65]);
    const message = fromBinary(CompleteChatResponseSchema, unknown);
    expect(framesOf(CompleteChatResponseSchema, [message]).subarray(5)).toEqual(Buffer.from(unknown));
  });

  test("stay as they were when the next ones are written", () => {
    const of = (text: string) => [create(ErrorInfoSchema, { reason: text })];
    const first = framesOf(ErrorInfoSchema, of("first"));
    framesOf(ErrorInfoSchema, of("other"));
    expect(first.equals(expected(ErrorInfoSchema, of("first")))).toBe(true);
  });

  test("are refused with protobuf-es's own words when a message cannot be written", () => {
    const wrong = create(RetryInfoSchema, { retryDelay: { nanos: 1.5 } });
    expect(() => framesOf(RetryInfoSchema, [wrong])).toThrow(/google\.protobuf\.Duration\.nanos.*invalid int32/);
  });

  test("may be larger than what is kept to write into", () => {
    const message = create(ErrorInfoSchema, { reason: "ü".repeat(2_000_000), domain: "x" });
    expect(framesOf(ErrorInfoSchema, [message, message]).equals(expected(ErrorInfoSchema, [message, message]))).toBe(
      true,
    );
  });
});

function replacer(_: string, each: unknown): unknown {
  return typeof each === "bigint" ? String(each) : each;
}
