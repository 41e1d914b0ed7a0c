import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createOtlpClient } from "../../src/telemetry/otlp.ts";
import type { Attributes, AttributeValue, FinishedSpan } from "../../src/telemetry/span.ts";
import { type OtlpReceiver, startOtlpReceiver } from "../support/otlp-receiver.ts";

let receiver: OtlpReceiver;
beforeAll(async () => {
  receiver = await startOtlpReceiver();
});
afterAll(() => receiver.close());

const scope = { name: "everhop", version: "1.2.3" };
const kinds = { server: "SERVER", client: "CLIENT", internal: "INTERNAL" };

function clientFor(protocol: "http/protobuf" | "grpc") {
  const endpoint = protocol === "grpc" ? receiver.grpcEndpoint : receiver.httpEndpoint;
  return createOtlpClient({ endpoint, protocol, headers: {}, timeoutMs: 5000 }, { "service.name": "säule" }, scope);
}

const hex = (digits: number) =>
  fc.array(fc.constantFrom(..."0123456789abcdef"), { minLength: digits, maxLength: digits }).map((all) => all.join(""));
/** Short and long ones, beyond ASCII, and with halves of characters. */
const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 300 }),
  fc.string({ maxLength: 40 }),
  fc.constantFrom("", "ok", "a".repeat(127), "b".repeat(128), "ü".repeat(64), "\ud800", "x".repeat(20_000)),
);
const value: fc.Arbitrary<AttributeValue> = fc.oneof(
  text,
  fc.boolean(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  fc.constantFrom(0, 127, 128, 2 ** 31, 2 ** 32 + 5, Number.MAX_SAFE_INTEGER, -1, 0.1),
  fc.array(text, { maxLength: 4 }),
);
const name = fc.oneof(
  fc.constantFrom("everhop.hops", "gen_ai.request.model", "ä"),
  fc.string({ minLength: 1, maxLength: 60 }),
);
const attributes = fc
  .uniqueArray(fc.tuple(name, value), { selector: ([key]) => key.toWellFormed(), maxLength: 12 })
  .map((pairs): Attributes => pairs.flat());
/** Whole microseconds, which every number holds. */
const instant = fc.integer({ min: 0, max: 10_000_000 }).map((us) => us / 1000);

const span: fc.Arbitrary<FinishedSpan> = fc.record({
  traceId: hex(32),
  spanId: hex(16),
  parentSpanId: fc.option(hex(16), { nil: undefined }),
  hasRemoteParent: fc.boolean(),
  traceState: fc.option(fc.constantFrom("vendor=1", "a=1,b=2"), { nil: undefined }),
  name: text,
  kind: fc.constantFrom("server", "client", "internal"),
  startedAt: instant,
  endedAt: instant,
  attributes,
  events: fc.array(fc.record({ name: text, at: instant, attributes }), { maxLength: 3 }),
  links: fc.array(fc.record({ traceId: hex(32), spanId: hex(16), attributes }), { maxLength: 3 }),
  error: fc.option(text, { nil: undefined }),
});

/** Protobuf's texts are well-formed. */
function read(attributes: Attributes): Record<string, unknown> {
  const all: Record<string, unknown> = {};
  for (let index = 0; index < attributes.length; index += 2) {
    const each = attributes[index + 1];
    const plain = typeof each === "string" ? each.toWellFormed() : each;
    all[String(attributes[index]).toWellFormed()] = Array.isArray(plain)
      ? plain.map((item: string) => item.toWellFormed())
      : Object.is(plain, -0)
        ? 0
        : plain;
  }
  return all;
}

const wallOffsetMs = 1_700_000_000_000;

describe("spans that we write ourselves", () => {
  test.each(["http/protobuf", "grpc"] as const)(
    "are read as what they were, whatever they say, over %s",
    async (protocol) => {
      const client = clientFor(protocol);
      await fc.assert(
        fc.asyncProperty(fc.array(span, { minLength: 1, maxLength: 5 }), async (spans) => {
          receiver.forget();
          await client.sendSpans(spans, wallOffsetMs);
          expect(
            receiver.spans.map(
              ({ traceId, spanId, parentSpanId, name: called, kind, status, attributes: said, events, links }) => ({
                ...{ traceId, spanId, parentSpanId, called, kind, status, said },
                events: events.map(({ name: event, attributes: with_ }) => [event, with_]),
                links: links.map((link) => [link.traceId, link.spanId, link.attributes]),
              }),
            ),
          ).toEqual(
            spans.map((each) => ({
              ...{ traceId: each.traceId, spanId: each.spanId, parentSpanId: each.parentSpanId ?? "" },
              ...{ called: each.name.toWellFormed(), kind: kinds[each.kind], said: read(each.attributes) },
              status:
                each.error === undefined
                  ? { code: "UNSET", message: "" }
                  : { code: "ERROR", message: each.error.toWellFormed() },
              events: each.events.map((event) => [event.name.toWellFormed(), read(event.attributes)]),
              links: each.links.map((link) => [link.traceId, link.spanId, read(link.attributes)]),
            })),
          );
          for (const [index, each] of spans.entries()) {
            const got = receiver.spans[index];
            const start = BigInt(Math.round((each.startedAt + wallOffsetMs) * 1000)) * 1000n;
            const end = BigInt(Math.round((Math.max(each.startedAt, each.endedAt) + wallOffsetMs) * 1000)) * 1000n;
            expect([got?.startNanos, got?.endNanos]).toEqual([start, end]);
            expect(got?.traceState).toBe(each.traceState ?? "");
            const parent = each.parentSpanId === undefined ? 0 : each.hasRemoteParent ? 0x300 : 0x100;
            expect(got?.flags).toBe(1 | parent);
            expect(got?.resource).toMatchObject({ "service.name": "säule" });
            expect(got?.scope).toEqual(scope);
          }
        }),
        { numRuns: 150 },
      );
      await client.close();
    },
  );

  test("are read as what they were when thousands of other values have been written before", async () => {
    const client = clientFor("http/protobuf");
    const plain: Omit<FinishedSpan, "attributes"> = {
      ...{ traceId: "1".repeat(32), spanId: "2".repeat(16), parentSpanId: undefined, hasRemoteParent: false },
      ...{ traceState: undefined, name: "x", kind: "client", startedAt: 0, endedAt: 1, events: [], links: [] },
      error: undefined,
    };
    const all = Array.from({ length: 3000 }, (_, index) => [`value ${index}`, index] as const);
    for (let round = 0; round < 2; round++) {
      receiver.forget();
      const spans = all.map(([words, number]) => ({
        ...plain,
        attributes: ["words", words, "number", number, "same", "same"],
      }));
      await client.sendSpans(spans, wallOffsetMs);
      expect(receiver.spans.map(({ attributes: said }) => said)).toEqual(
        all.map(([words, number]) => ({ words, number, same: "same" })),
      );
    }
    await client.close();
  });
});
