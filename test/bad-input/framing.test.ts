import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { type Bytes, httpRequest, talk } from "./http1.ts";
import { type CallEnd, callHttp2, envelope, goodRequest, outcomeOf, sized } from "./rpc.ts";
import { startTarget } from "./target.ts";

const unary = "/everhop.v1.ChatService/CompleteChat";
const stream = "/everhop.v1.ChatService/StreamChat";

/** How each protocol names what it packs, and what it is called. */
const protocols = {
  gRPC: { type: "application/grpc", encoding: "grpc-encoding", timeout: "grpc-timeout", paths: [unary, stream] },
  "gRPC-Web": {
    type: "application/grpc-web+proto",
    encoding: "grpc-encoding",
    timeout: "grpc-timeout",
    paths: [unary, stream],
  },
  Connect: {
    type: "application/connect+proto",
    encoding: "connect-content-encoding",
    timeout: "connect-timeout-ms",
    paths: [stream],
  },
} as const;

const good = envelope(0, goodRequest);
const packed = gzipSync(goodRequest);
/** Where protocols differ in their word for a message too many or too few. */
const miscounted = ["invalid_argument", "unimplemented"];

/** What is sent as the body, piece by piece, and the code that it gets; `encoding`: under the name that the protocol has for it. */
type Row = readonly [
  what: string,
  body: readonly Bytes[],
  codes: string | readonly string[],
  more?: CallEnd & { readonly encoding?: string },
];

const rows: readonly Row[] = [
  ["a good message", [good], "ok"],
  ["a good message byte by byte", [...good].map((byte) => Buffer.of(byte)), "ok"],
  ["a good message, its head apart", [good.subarray(0, 5), good.subarray(5)], "ok"],
  ["a good message, cut in its head", [good.subarray(0, 2), good.subarray(2)], "ok"],
  ["nothing", [], miscounted],
  ["a message of nothing", [envelope(0, "")], "invalid_argument"],
  ["half a head", [good.subarray(0, 3)], "invalid_argument"],
  ["a head alone", [good.subarray(0, 5)], miscounted],
  ["all but the last byte", [good.subarray(0, -1)], "invalid_argument"],
  ["a length longer than the data", [envelope(0, goodRequest, goodRequest.length + 1)], "invalid_argument"],
  [
    "a length shorter than the data",
    [envelope(0, goodRequest, goodRequest.length - 1)],
    ["invalid_argument", "unimplemented"],
  ],
  ["a length of 4 GiB", [envelope(0, goodRequest, 2 ** 32 - 1)], "resource_exhausted"],
  ["a length of 4 GiB and no end", [envelope(0, goodRequest, 2 ** 32 - 1)], "resource_exhausted", { open: true }],
  ["a length of 2 GiB", [envelope(0, goodRequest, 2 ** 31)], "resource_exhausted"],
  ["a length above the limit", [envelope(0, goodRequest, (32 << 20) + 1)], "resource_exhausted"],
  ["two messages", [good, good], miscounted],
  ["two messages in one piece", [Buffer.concat([good, good])], miscounted],
  ["a thousand messages", [Buffer.concat(Array.from({ length: 1000 }, () => good))], miscounted],
  ["a message and garbage", [good, "garbage"], ["invalid_argument", "unimplemented", "resource_exhausted"]],
  ["a message and half a head", [good, "\0\0"], ["invalid_argument", "unimplemented"]],
  ["garbage", ["garbage that is no frame"], ["invalid_argument", "resource_exhausted"]],
  ["JSON without a frame", ['{"prompt":{}}'], ["invalid_argument", "resource_exhausted"]],
  ["a message that is no protobuf", [envelope(0, Buffer.alloc(20, 255))], "invalid_argument"],
  ["a text that is no UTF-8", [envelope(0, sized(1, sized(1, "\xff")))], "invalid_argument"],
  ["packed", [envelope(1, packed)], "ok", { encoding: "gzip" }],
  ["not packed where it might be", [good], "ok", { encoding: "gzip" }],
  ["packed without saying how", [envelope(1, packed)], ["invalid_argument", "internal"]],
  ["packed in a way that nobody knows", [envelope(1, packed)], "unimplemented", { encoding: "snappy" }],
  ["a way of packing that nobody knows", [good], "unimplemented", { encoding: "snappy" }],
  ["garbage that calls itself packed", [envelope(1, "garbage")], "invalid_argument", { encoding: "gzip" }],
  [
    "half of what was packed",
    [envelope(1, packed.subarray(0, packed.length / 2))],
    "invalid_argument",
    { encoding: "gzip" },
  ],
  ["nothing that calls itself packed", [envelope(1, "")], "invalid_argument", { encoding: "gzip" }],
  ["a bomb", [envelope(1, gzipSync(Buffer.alloc(200 << 20)))], "resource_exhausted", { encoding: "gzip" }],
  ["an unknown flag", [envelope(4, goodRequest)], ["ok", "invalid_argument", "internal"]],
  ["another unknown flag", [envelope(64, goodRequest)], ["ok", "invalid_argument", "internal"]],
];

describe.each(Object.entries(protocols))("%s:", (name, { type, encoding, timeout, paths }) => {
  const te = name === "gRPC" ? { te: "trailers" } : {};

  test.each(rows.map(([what, ...row]) => ({ what, row })))(
    "$what",
    async ({ row: [body, codes, { encoding: packing, ...end } = {}] }) => {
      const target = await startTarget();
      for (const path of paths) {
        const fields = { "content-type": type, ...te, ...(packing && { [encoding]: packing }) };
        const outcome = outcomeOf(await callHttp2(target.address, path, fields, body, end));
        expect([codes].flat(), `${path}: ${JSON.stringify(outcome)}`).toContain(outcome.code);
        // Whatever fails says why, to programs, too.
        if (outcome.code !== "ok") expect(outcome.reason, outcome.message).toMatch(/^[A-Z_]+$/);
        if (outcome.code === "resource_exhausted") expect(outcome.reason).toBe("REQUEST_TOO_LARGE");
      }
      await target.survives();
    },
  );

  test("every flag but 0 is served or refused by a status, and never a bug of ours", async () => {
    const target = await startTarget();
    for (let flags = 1; flags < 256; flags++) {
      const outcome = outcomeOf(
        await callHttp2(target.address, paths[0], { "content-type": type, ...te }, [envelope(flags, goodRequest)]),
      );
      expect(["ok", "invalid_argument", "internal", "unimplemented"], `${flags}: ${JSON.stringify(outcome)}`).toContain(
        outcome.code,
      );
    }
    await target.survives();
  });

  test("every cut of a good body is refused", async () => {
    const target = await startTarget();
    for (let length = 0; length < good.length; length++) {
      const outcome = outcomeOf(
        await callHttp2(target.address, paths[0], { "content-type": type, ...te }, [good.subarray(0, length)]),
      );
      expect(miscounted, `${length}: ${JSON.stringify(outcome)}`).toContain(outcome.code);
    }
    expect(target.provider.seen.length).toBe(0);
    await target.survives();
  });

  const timeouts: readonly (readonly [value: string, code: string])[] =
    timeout === "grpc-timeout"
      ? [
          ["1", "invalid_argument"],
          ["1X", "invalid_argument"],
          ["1s", "invalid_argument"],
          ["S", "invalid_argument"],
          ["-1S", "invalid_argument"],
          ["1.5S", "invalid_argument"],
          ["123456789S", "invalid_argument"],
          ["1S, 2S", "invalid_argument"],
          ["99999999H", "ok"],
          ["99999999M", "ok"],
          ["99999999S", "ok"],
          ["99999999m", "ok"],
          ["2147483648u", "invalid_argument"],
          ["0S", "deadline_exceeded"],
          ["0n", "deadline_exceeded"],
          ["1n", "deadline_exceeded"],
        ]
      : [
          ["x", "invalid_argument"],
          ["-1", "invalid_argument"],
          ["1S", "invalid_argument"],
          ["12345678901", "invalid_argument"],
          ["9999999999", "ok"],
          ["2147483648", "ok"],
          ["0", "deadline_exceeded"],
        ];
  test.each(timeouts)(`${timeout}: %s is %s`, async (value, code) => {
    const target = await startTarget();
    for (const path of paths) {
      const outcome = outcomeOf(
        await callHttp2(target.address, path, { "content-type": type, ...te, [timeout]: value }, [good]),
      );
      expect(outcome.code, JSON.stringify(outcome)).toBe(code);
    }
    await target.survives();
  });

  const metadata: readonly (readonly [what: string, fields: Readonly<Record<string, string>>])[] = [
    ["a -bin field of bad base64", { "x-custom-bin": "%%%" }],
    ["an empty -bin field", { "x-custom-bin": "" }],
    ["details of bad base64", { "grpc-status-details-bin": "%%%" }],
    [
      "reserved names",
      { "grpc-status": "0", "grpc-message": "hi", "grpc-reserved": "x", "grpc-previous-rpc-attempts": "x" },
    ],
    ["reserved names of Connect", { "connect-reserved": "x", "trailer-x": "y" }],
    [
      "an Accept-Encoding of nonsense",
      { "grpc-accept-encoding": ",,snappy;q", "connect-accept-encoding": ",,snappy;q" },
    ],
    ["no te", { te: "" }],
    ["another user agent", { "user-agent": "\xff".repeat(1000) }],
  ];
  test.each(metadata)("metadata: %s is passed over", async (_, fields) => {
    const target = await startTarget();
    const { te: given, ...more } = fields;
    const call = { "content-type": type, ...(given === undefined ? te : {}), ...more };
    expect(outcomeOf(await callHttp2(target.address, paths[0], call, [good]))).toEqual({
      code: "ok",
      reason: "",
      message: "",
    });
    await target.survives();
  });

  test("metadata of 64 KiB is refused", async () => {
    const target = await startTarget();
    const answer = await callHttp2(
      target.address,
      paths[0],
      { "content-type": type, ...te, "x-large": "x".repeat(64 << 10) },
      [good],
    );
    expect([undefined, 431]).toContain(answer.status);
    await target.survives();
  });

  test.each([
    ["a path without a method", "/everhop.v1.ChatService/"],
    ["an unknown method", "/everhop.v1.ChatService/Sing"],
    ["an unknown service", "/everhop.v1.Nothing/CompleteChat"],
    ["another package", "/everhop.v2.ChatService/CompleteChat"],
    ["no package", "/ChatService/CompleteChat"],
    ["a path that is a route of REST", "/v1/models/think"],
  ])("%s is unimplemented", async (_, path) => {
    const target = await startTarget();
    const answer = await callHttp2(target.address, path, { "content-type": type, ...te }, [good]);
    // Where no method is known, HTTP's own word will do: clients read 404 so. (405, of the route, gRPC's would read as unknown.)
    expect(answer.status === 405 ? "unimplemented" : outcomeOf(answer).code).toBe("unimplemented");
    await target.survives();
  });

  test("a call taken back with any code frees what it held, and disturbs nobody else", async () => {
    const target = await startTarget({}, { schedule: () => ({ kind: "silence" }) });
    for (let code = 0; code <= 13; code++) {
      for (const body of [[], [good.subarray(0, 3)], [good]]) {
        await callHttp2(target.address, paths[0], { "content-type": type, ...te }, body, { reset: code });
      }
    }
    target.provider.behave({ schedule: [] });
    await target.survives();
  });
});

describe("what stands where it has no business:", () => {
  test.each([
    ["an end of the stream from the client", [good, envelope(2, "{}")], ["ok", "invalid_argument"]],
    ["an end of the stream first", [envelope(2, "{}"), good], ["ok", "invalid_argument", "unimplemented"]],
    ["an end of the stream alone", [envelope(2, "{}")], ["invalid_argument", "unimplemented"]],
    ["data after the end", [good, envelope(2, "{}"), good], ["invalid_argument", "unimplemented"]],
    ["an end of garbage", [good, envelope(2, "{")], ["ok", "invalid_argument"]],
    ["an end with an error", [good, envelope(2, '{"error":{"code":"internal"}}')], ["ok", "invalid_argument"]],
    ["a packed end that is none", [good, envelope(3, "x")], ["ok", "invalid_argument", "internal"]],
  ] as const)("Connect: %s", async (_, body, codes) => {
    const target = await startTarget();
    const outcome = outcomeOf(
      await callHttp2(target.address, stream, { "content-type": "application/connect+proto" }, body),
    );
    expect(codes, JSON.stringify(outcome)).toContain(outcome.code);
    await target.survives();
  });

  test.each([
    [
      "trailers from the client",
      [good, envelope(128, "grpc-status: 0\r\n")],
      ["ok", "invalid_argument", "unimplemented"],
    ],
    ["trailers first", [envelope(128, "grpc-status: 0\r\n"), good], ["ok", "invalid_argument", "unimplemented"]],
    ["trailers alone", [envelope(128, "grpc-status: 0\r\n")], ["invalid_argument", "unimplemented"]],
    ["trailers that are packed", [good, envelope(129, "x")], ["ok", "invalid_argument", "unimplemented", "internal"]],
  ] as const)("gRPC-Web: %s", async (_, body, codes) => {
    const target = await startTarget();
    for (const path of [unary, stream]) {
      const outcome = outcomeOf(
        await callHttp2(target.address, path, { "content-type": "application/grpc-web+proto" }, body),
      );
      expect(codes, JSON.stringify(outcome)).toContain(outcome.code);
    }
    await target.survives();
  });

  test.each([
    ["gRPC-Web as text", "application/grpc-web-text", good.toString("base64")],
    [
      "gRPC-Web as text, padded in the middle",
      "application/grpc-web-text+proto",
      good.subarray(0, 4).toString("base64") + good.subarray(4).toString("base64"),
    ],
    ["gRPC-Web as text that is none", "application/grpc-web-text", "%%%"],
    ["gRPC in an unknown codec", "application/grpc+thrift", good],
    ["gRPC of no type", "application/grpcx", good],
    ["Connect in an unknown codec", "application/connect+xml", good],
    ["Connect's stream as a unary call", "application/proto", good],
    ["a type that is none", "\xff", good],
  ])("%s is answered by 415", async (_, type, body) => {
    const target = await startTarget();
    const answer = await callHttp2(target.address, stream, { "content-type": type }, [body]);
    expect(answer.status).toBe(415);
    await target.survives();
  });

  test.each([
    ["gRPC", "application/grpc"],
    ["gRPC with te", "application/grpc"],
    ["gRPC-Web", "application/grpc-web+proto"],
    ["Connect", "application/connect+proto"],
  ])("%s over HTTP/1.1 is served or refused, but never a bug of ours", async (name, type) => {
    const target = await startTarget();
    const fields = [`Content-Type: ${type}`, ...(name.endsWith("te") ? ["TE: trailers"] : [])];
    for (const path of [unary, stream]) {
      const { answers } = await talk(target.port, httpRequest(`POST ${path}`, fields, good.toString("latin1")));
      expect([200, 400, 415, 426, 505], `${path} ${answers[0]?.body}`).toContain(answers[0]?.status);
    }
    await target.survives();
  });

  test("a body that ends with the client's last word is a body, though the answer is long in coming", async () => {
    const target = await startTarget({}, { latencyMs: 200 });
    const answer = await callHttp2(target.address, stream, { "content-type": "application/grpc", te: "trailers" }, [
      good,
    ]);
    expect(outcomeOf(answer).code).toBe("ok");
  });
});
