import { setTimeout as later } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { Behaviour } from "../../src/providers/simulated/behaviour.ts";
import type { Fault } from "../../src/providers/simulated/fault.ts";
import type { SimulatedProvider } from "../../src/providers/simulated/simulated-provider.ts";
import { CallerGone } from "../../src/runtime/cancellation.ts";
import { configOf, startLargeUpstream } from "../abuse/upstream.ts";
import type { Bytes } from "../bad-input/http1.ts";
import { envelope, goodPrompt, goodRequest, numbered, sized } from "../bad-input/rpc.ts";
import { type ProviderConfig, poolConfig, startGateway, startProviders, type TestGateway } from "../support/gateway.ts";
import { type Ask, failureOf, type Mode, modes, openWire, send } from "../support/wires.ts";
import { movesOn, refusals } from "./fault-table.ts";
import { bodyOf, messageOf, pathOf, type Recording, record, type Sent } from "./raw-grpc.ts";

/** One of two gateways that are to be alike, with providers of its own. */
interface House {
  readonly gateway: TestGateway;
  readonly providers: { readonly first: SimulatedProvider; readonly second: SimulatedProvider };
  call(sent?: Sent): Promise<Recording>;
}

/** What both are started with. */
interface Setting {
  readonly first?: Partial<Behaviour>;
  readonly second?: Partial<Behaviour>;
  /** Of each provider's configuration. */
  readonly each?: ProviderConfig;
  readonly firstConfig?: ProviderConfig;
  readonly config?: object;
  readonly server?: object;
}

type Scene<Told> = (house: House) => Promise<Told>;

/** Plays a scene at a gateway. @param byLane how many of its calls the lane answers, if there is one */
async function play<Told>(
  lanes: "on" | "off",
  setting: Setting,
  scene: Scene<Told>,
  byLane: number | "either" | undefined,
) {
  const providers = await startProviders({ first: setting.first ?? {}, second: setting.second ?? {} });
  const config = {
    ...poolConfig(providers, {
      ...(setting.each && { each: setting.each }),
      ...(setting.firstConfig && { first: setting.firstConfig }),
    }),
    routing: { backoff: { base: "1ms", max: "1ms" } },
    ...setting.config,
    server: { ...setting.server, lanes },
  };
  const gateway = await startGateway(config, providers);
  let calls = 0;
  const call = (sent: Sent = {}) => {
    calls += 1;
    return record(gateway.port, sent);
  };
  const told = await scene({ gateway, providers, call });
  await Promise.all([providers.first.idle(), providers.second.idle()]);
  if (lanes === "off") expect(gateway.laneCalls).toBe(0);
  else if (byLane !== "either") expect(gateway.laneCalls).toBe(byLane ?? calls);
  const asked = [providers.first, providers.second].map(({ seen }) =>
    seen.map(({ method, path, json, headers: { host: _, ...headers } }) => ({ method, path, json, headers })),
  );
  return { told, asked, outcomes: await outcomesOf(gateway) };
}

/**
 * Plays a scene at a gateway with lanes and at one without, at the same time.
 * @param byLane how many of the scene's calls the lane answers; default: every one; `either`: HTTP/2 itself may be sooner
 * @returns what both have told, once it is found to be the same
 */
async function alike<Told>(setting: Setting, scene: Scene<Told>, byLane?: number | "either") {
  const [on, off] = await Promise.all([play("on", setting, scene, byLane), play("off", setting, scene, byLane)]);
  expect(on).toEqual(off);
  return on;
}

/** How every attempt has ended: what operators see of it. */
async function outcomesOf({ trails }: TestGateway) {
  while (trails.some(({ attempts }) => attempts.some(({ outcome }) => outcome === undefined))) await later(5);
  return trails.map(({ attempts }) => attempts.map(({ outcome }) => outcome));
}

/** One call of which both are to tell the same, and how it ends. */
interface Row extends Setting {
  readonly title: string;
  readonly sent?: Sent;
  readonly ending: string;
  /** Whether it is for Connect at once, also where there is a lane. */
  readonly past?: true;
}

/** Tells of each call, in either mode, that nobody can tell. */
function rows(table: readonly Row[], inModes: readonly Mode[] = modes): void {
  const all = table.flatMap((row) => inModes.map((mode) => ({ ...row, mode })));
  test.each(all)("$title, $mode: $ending", async ({ sent, ending, past, mode, ...setting }) => {
    const { told } = await alike(setting, ({ call }) => call({ mode, ...sent }), past ? 0 : 1);
    expect(told.ending).toBe(ending);
  });
}

const wordy = Array.from({ length: 60 }, (_, index) => `word${index}`).join(" ");
const tooLong = 40_000;

/** One endpoint, asked once: who is asked a second time is left to chance. */
const once = { config: { routing: { max_attempts: 1 } } };

describe("the lane and Connect answer alike", () => {
  test.each(modes)("what goes well, %s", async (mode) => {
    const { told, outcomes } = await alike({}, ({ call }) => call({ mode }));
    expect(told.ending).toBe("ok");
    expect(told.frames.filter((each) => !each.startsWith("SETTINGS"))).toEqual(["HEADERS", "DATA", "HEADERS and end"]);
    expect(told.headers).toMatchObject({
      "content-type": "application/grpc+proto",
      "x-request-id": "the-request",
      "x-everhop-trace-id": "0af7651916cd43dd8448eb211c80319c",
      "x-everhop-provider": "first",
    });
    expect(told.trailers).toEqual({ "grpc-status": "0" });
    expect(JSON.stringify(told.messages)).toContain("hop");
    expect(told.messages.length > 5).toBe(mode === "stream");
    expect(outcomes).toEqual([["ok"]]);
  });

  test.each(modes)("one after the other on the same gateway, %s", async (mode) => {
    const { told } = await alike({}, async ({ call }) => [
      await call({ mode }),
      await call({ mode }),
      await call({ mode }),
    ]);
    expect(told.map(({ ending }) => ending)).toEqual(["ok", "ok", "ok"]);
  });

  const faults = movesOn.flatMap((row) =>
    modes.filter((mode) => !row.only || row.only === mode).map((mode) => ({ ...row, mode })),
  );
  test.each(faults)("after $title, $mode", async ({ fault, first: firstConfig, outcome, again, mode }) => {
    const { told, outcomes } = await alike(
      { first: { schedule: [fault], eventPerWrite: true }, ...(firstConfig && { firstConfig }) },
      ({ call }) => call({ mode }),
    );
    expect(told.ending).toBe("ok");
    expect(told.headers["x-everhop-provider"]).toBe("second");
    expect(outcomes).toEqual([[...(again ? [outcome, outcome] : [outcome]), "ok"]]);
  });

  test.each(refusals.flatMap((row) => modes.map((mode) => ({ ...row, mode }))))(
    "a refusal by $title, $mode",
    async ({ fault, status: [code], reason: [reason], mode }) => {
      const { told } = await alike({ first: { schedule: [fault] } }, ({ call }) => call({ mode }));
      expect(told.ending.replaceAll("_", "").toLowerCase()).toBe(`${code} ${reason}`.replaceAll("_", "").toLowerCase());
      expect(told.details.length).toBeGreaterThan(1);
    },
  );

  const broken: { title: string; fault: Fault; firstConfig?: ProviderConfig }[] = [
    { title: "a close", fault: { kind: "cut_after" } },
    { title: "a reset", fault: { kind: "reset_after", tokensPerSecond: 20 } },
    { title: "an end without finish reason", fault: { kind: "end_after" } },
    { title: "silence", fault: { kind: "stall_after" }, firstConfig: { timeouts: { idle: "100ms" } } },
    { title: "nonsense", fault: { kind: "malformed_after" } },
    { title: "half an event and a close", fault: { kind: "half_event_then_cut" } },
    { title: "an error event", fault: { kind: "error_event_after" } },
    { title: "a rate limit", fault: { kind: "error_event_after", type: "rate_limit_error", code: 429 } },
    { title: "a close after many events", fault: { kind: "cut_after", events: 8 } },
    { title: "fewer bytes than were promised", fault: { kind: "short_content_length" } },
    { title: "a close just before the finish reason", fault: { kind: "cut_after", events: 100 } },
  ];
  test.each(broken)("a stream that breaks by $title", async ({ fault, firstConfig }) => {
    const { told } = await alike(
      { first: { schedule: [fault], eventPerWrite: true }, ...(firstConfig && { firstConfig }) },
      ({ call }) => call({ mode: "stream" }),
    );
    expect(told.ending).toBe("unavailable STREAM_INTERRUPTED");
    expect(told.messages.length).toBeGreaterThan(1);
  });

  const recoveries = [
    { recovery: "restart", event: "restarted" },
    { recovery: "continue", event: "resumed" },
  ] as const;
  test.each(recoveries)("a stream that breaks and is to $recovery", async ({ recovery, event }) => {
    const { told } = await alike(
      {
        first: { text: wordy, schedule: [{ kind: "cut_after", events: 41 }], eventPerWrite: true },
        second: { text: wordy, eventPerWrite: true },
      },
      ({ call }) => call({ mode: "stream", body: [bodyOf("stream", { text: "x", recovery })] }),
    );
    expect(told.ending).toBe("ok");
    expect(JSON.stringify(told.messages)).toContain(`"${event}":`);
  });

  describe("when nobody can serve:", () => {
    const failing: Partial<Behaviour> = { schedule: [{ kind: "status", status: 500 }] };
    const limited: Partial<Behaviour> = { schedule: [{ kind: "status", status: 429 }] };
    rows([
      { title: "all fail", ...once, first: failing, second: failing, ending: "unavailable ALL_PROVIDERS_FAILED" },
      {
        title: "all are limited",
        ...once,
        first: limited,
        second: limited,
        ending: "resource_exhausted RATE_LIMIT_EXCEEDED",
      },
      { title: "none is eligible", each: { enabled: false }, ending: "unavailable SERVICE_UNAVAILABLE" },
    ]);
  });

  describe("what may not be asked:", () => {
    const asking = (mode: Mode, ask: Ask): Sent => ({ body: [bodyOf(mode, ask)] });
    for (const mode of modes) {
      rows(
        [
          {
            title: "an unknown model",
            sent: asking(mode, { text: "x", model: "none" }),
            ending: "not_found MODEL_NOT_FOUND",
          },
          {
            title: "an unknown provider",
            sent: asking(mode, { text: "x", provider: "nobody" }),
            ending: "invalid_argument INVALID_REQUEST",
          },
          {
            title: "options beyond their range",
            sent: asking(mode, { text: "x", retryCount: -1, timeoutMs: -5 }),
            ending: "invalid_argument INVALID_REQUEST",
          },
          {
            title: "more time than there is",
            sent: asking(mode, { text: "x", timeoutMs: 100 }),
            first: { latencyMs: 600 },
            ending: "deadline_exceeded DEADLINE_EXCEEDED",
          },
          { title: "no prompt", sent: { body: [envelope(0, "")] }, ending: "invalid_argument INVALID_REQUEST" },
          {
            title: "a prompt without messages",
            sent: { body: [envelope(0, sized(1, sized(1, "think")))] },
            ending: "invalid_argument INVALID_REQUEST",
          },
        ],
        [mode],
      );
    }
  });
});

describe("who may come in", () => {
  const auth = {
    callers: [
      { name: "known", key: "sk-test-canary-known" },
      { name: "other", key: "sk-test-canary-other" },
      { name: "blind", key: "sk-test-canary-blind", trail: false },
      { name: "narrow", key: "sk-test-canary-narrow", models: ["first:first-model"] },
    ],
    admin_keys: ["sk-test-canary-admin-0123456789abcdef"],
  };
  const config = { auth };
  const refused = "unauthenticated UNAUTHORIZED";
  const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
  rows([
    { title: "no key", config, ending: refused },
    { title: "an empty key", config, sent: { headers: { authorization: "" } }, ending: refused },
    { title: "a wrong key", config, sent: { headers: bearer("sk-test-canary-wrong") }, ending: refused },
    { title: "no bearer", config, sent: { headers: { authorization: "Basic a2V5" } }, ending: refused },
    { title: "a key", config, sent: { headers: bearer("sk-test-canary-known") }, ending: "ok" },
    { title: "a key by x-api-key", config, sent: { headers: { "x-api-key": "sk-test-canary-known" } }, ending: "ok" },
    {
      title: "one key in two places",
      config,
      sent: { headers: { ...bearer("sk-test-canary-known"), "x-api-key": "sk-test-canary-known" } },
      ending: "ok",
    },
    {
      title: "keys that disagree",
      config,
      sent: { headers: { ...bearer("sk-test-canary-known"), "x-api-key": "sk-test-canary-other" } },
      ending: refused,
    },
    {
      title: "an admin's key",
      config,
      sent: { headers: bearer("sk-test-canary-admin-0123456789abcdef") },
      ending: "permission_denied FORBIDDEN",
    },
    {
      title: "an admin's key by x-admin-key beside a caller's",
      config,
      sent: { headers: { ...bearer("sk-test-canary-known"), "x-admin-key": auth.admin_keys[0] } },
      ending: "ok",
    },
    {
      title: "two authorizations",
      config,
      sent: { headers: { authorization: ["Bearer sk-test-canary-known", "Bearer sk-test-canary-other"] } },
      ending: refused,
    },
    {
      title: "two x-api-key",
      config,
      sent: { headers: { "x-api-key": ["sk-test-canary-known", "sk-test-canary-other"] } },
      ending: refused,
    },
    {
      title: "a key that may not use the model",
      config,
      sent: { headers: bearer("sk-test-canary-narrow") },
      ending: "not_found MODEL_NOT_FOUND",
    },
    { title: "no key and an unreadable message", config, sent: { body: ["zzzzzzzz"] }, ending: refused },
    { title: "no key and no message", config, sent: { bare: true }, ending: refused },
    { title: "no key and a request that does not end", config, sent: { open: true }, ending: refused },
    { title: "a caller who sees no trail", config, sent: { headers: bearer("sk-test-canary-blind") }, ending: "ok" },
    {
      title: "a caller who sees no trail, when all fail",
      config: { ...config, ...once.config },
      first: { schedule: [{ kind: "status", status: 500 }] },
      second: { schedule: [{ kind: "status", status: 500 }] },
      sent: { headers: bearer("sk-test-canary-blind") },
      ending: "unavailable ALL_PROVIDERS_FAILED",
    },
  ]);

  test.each(modes)("too many wrong keys, %s", async (mode) => {
    const { told } = await alike({ config }, async ({ call }) => {
      const endings: string[] = [];
      for (let count = 0; count < 62; count += 1) {
        const { ending } = await call({ mode, headers: bearer("sk-test-canary-wrong") });
        endings.push(ending);
      }
      const last = await call({ mode, headers: bearer("sk-test-canary-wrong") });
      return { first: endings[0], last, right: await call({ mode, headers: bearer("sk-test-canary-known") }) };
    });
    expect([told.first, told.last.ending, told.right.ending]).toEqual([
      refused,
      "resource_exhausted TOO_MANY_FAILURES",
      "ok",
    ]);
  });

  test("wrong keys that come by a trusted proxy are counted where they come from", async () => {
    const server = { trusted_proxies: ["127.0.0.1"] };
    const { told } = await alike({ config, server }, async ({ call }) => {
      const from = (address: string) =>
        call({ headers: { ...bearer("sk-test-canary-wrong"), "x-forwarded-for": address } });
      for (let count = 0; count < 61; count += 1) await from("192.0.2.1");
      return [(await from("192.0.2.1")).ending, (await from("192.0.2.2")).ending];
    });
    expect(told).toEqual(["resource_exhausted TOO_MANY_FAILURES", refused]);
  });

  test.each(modes)("a caller beyond its requests a minute, %s", async (mode) => {
    const limited = { auth: { callers: [{ name: "few", key: "sk-test-canary-few", rpm: 1 }] } };
    const headers = bearer("sk-test-canary-few");
    const { told } = await alike({ config: limited }, async ({ call }) => [
      await call({ mode, headers }),
      await call({ mode, headers }),
    ]);
    expect(told.map(({ ending }) => ending)).toEqual(["ok", "resource_exhausted RATE_LIMIT_EXCEEDED"]);
  });

  test.each(modes)("a caller beyond its calls at once, %s", async (mode) => {
    const limited = { auth: { callers: [{ name: "few", key: "sk-test-canary-few", max_concurrent: 1 }] } };
    const headers = bearer("sk-test-canary-few");
    const { told } = await alike({ config: limited, first: { latencyMs: 400 } }, async ({ call, providers }) => {
      const long = call({ mode, headers });
      await providers.first.arrived(1);
      return [await call({ mode, headers }), await long, await call({ mode, headers })];
    });
    expect(told.map(({ ending }) => ending)).toEqual(["resource_exhausted RATE_LIMIT_EXCEEDED", "ok", "ok"]);
  });
});

/** A client that takes its call back if nothing comes of it. */
const leaving: Pick<Sent, "during"> = {
  during: ({ stream }) => later(600).then(() => stream.close(8)),
};

describe("deadlines", () => {
  const passed = "deadline_exceeded DEADLINE_EXCEEDED";
  const wrong = "invalid_argument INVALID_REQUEST";
  const timeout = (value: string | string[]): Sent => ({ headers: { "grpc-timeout": value } });
  const slow: Partial<Behaviour> = { latencyMs: 600 };
  rows([
    { title: "1n", first: slow, sent: timeout("1n"), ending: passed },
    { title: "0m", first: slow, sent: timeout("0m"), ending: passed },
    { title: "0S", first: slow, sent: timeout("0S"), ending: passed },
    { title: "5S", sent: timeout("5S"), ending: "ok" },
    { title: "8 digits of hours", sent: timeout("99999999H"), ending: "ok" },
    { title: "2 hours", sent: timeout("2H"), ending: "ok" },
    { title: "100ms, before the first content", first: slow, sent: timeout("100m"), ending: passed },
    { title: "without a unit", sent: timeout("5"), ending: wrong, past: true },
    { title: "ten digits", sent: timeout("1234567890S"), ending: wrong, past: true },
    { title: "a negative one", sent: timeout("-1S"), ending: wrong, past: true },
    { title: "a word", sent: timeout("abc"), ending: wrong, past: true },
    { title: "an empty one", sent: timeout(""), ending: wrong, past: true },
    { title: "two of them", sent: timeout(["5S", "6S"]), ending: wrong, past: true },
    {
      title: "one that passes while the request is on its way",
      sent: { ...timeout("100m"), body: [whole.subarray(0, 7), 300, whole.subarray(7)] },
      ending: passed,
    },
    {
      title: "one that passes while the request never ends",
      sent: { ...timeout("100m"), open: true, ...leaving },
      ending: "reset 8",
    },
    {
      title: "one that passes before anything of the message has come",
      sent: { ...timeout("100m"), body: [], open: true, ...leaving },
      ending: "reset 8",
    },
  ]);

  rows([
    {
      title: "one that counts from the request's beginning, also when Connect takes over in the middle",
      first: { latencyMs: 400 },
      sent: {
        ...timeout("600m"),
        body: [envelope(2, goodRequest).subarray(0, 7), 400, envelope(2, goodRequest).subarray(7)],
      },
      ending: passed,
    },
  ]);

  test.each(modes)("1m, which may or may not be enough to ask somebody, %s", async (mode) => {
    const scene: Scene<Partial<Recording>> = async ({ call }) => {
      const { ending, frames, headers, closeCode } = await call({ mode, ...timeout("1m") });
      return { ending, frames, headers, closeCode };
    };
    const setting = { first: slow };
    const [on, off] = await Promise.all([play("on", setting, scene, 1), play("off", setting, scene, 1)]);
    expect(on.told).toEqual(off.told);
    expect(on.told.ending).toBe(passed);
  });

  test("one that passes in the middle of a stream", async () => {
    const { told } = await alike({ first: { text: wordy, tokensPerSecond: 20 } }, ({ call }) =>
      call({ mode: "stream", ...timeout("400m") }).then(({ messages, ...rest }) => ({
        ...rest,
        some: messages.length > 1,
      })),
    );
    expect(told).toMatchObject({ ending: passed, some: true });
  });

  test("the caller's own option beside it, whichever is shorter", async () => {
    const { told } = await alike({ first: slow }, async ({ call }) => [
      await call({ ...timeout("10S"), body: [bodyOf("unary", { text: "x", timeoutMs: 50 })] }),
      await call({ ...timeout("50m"), body: [bodyOf("unary", { text: "x", timeoutMs: 10_000 })] }),
    ]);
    expect(told.map(({ ending }) => ending)).toEqual([passed, passed]);
  });
});

describe("clients that leave", () => {
  const slow: Partial<Behaviour> = { text: wordy, latencyMs: 0, tokensPerSecond: 20 };
  const ways = [
    { title: "by a reset", leave: (stream: { close(code: number): void }) => stream.close(8) },
    { title: "by a reset without an error", leave: (stream: { close(code: number): void }) => stream.close(0) },
  ];

  test.each(ways.flatMap((way) => modes.map((mode) => ({ ...way, mode }))))(
    "$title, before the first content, $mode",
    async ({ leave, mode }) => {
      const { told, outcomes } = await alike({ first: { latencyMs: 10_000 } }, ({ call, providers }) =>
        call({ mode, during: ({ stream }) => providers.first.arrived(1).then(() => leave(stream)) }),
      );
      expect(told.status).toBeUndefined();
      expect(outcomes).toEqual([["caller_gone"]]);
    },
  );

  test.each(ways)("$title, in the middle of a stream", async ({ leave }) => {
    const { told, outcomes } = await alike({ first: slow }, async ({ call }) => {
      const { messages, ...rest } = await call({
        mode: "stream",
        during: ({ stream, messages }) => messages(4).then(() => leave(stream)),
      });
      return { ...rest, some: messages.length >= 4 };
    });
    expect(told).toMatchObject({ some: true, status: 200 });
    expect(outcomes).toEqual([["caller_gone"]]);
  });

  test("with its connection", async () => {
    const { told, outcomes } = await alike({ first: slow }, async ({ call }) => {
      const { messages, ...rest } = await call({
        mode: "stream",
        during: ({ stream, messages }) => messages(4).then(() => stream.session?.destroy()),
      });
      return { status: rest.status, some: messages.length >= 4 };
    });
    expect(told).toEqual({ some: true, status: 200 });
    expect(outcomes).toEqual([["caller_gone"]]);
  });

  test.each(modes)("with its connection, before the request has ended, %s", async (mode) => {
    const { told, outcomes } = await alike({}, ({ call }) =>
      call({ mode, open: true, during: ({ stream }) => later(100).then(() => stream.session?.destroy()) }),
    );
    expect(told.status).toBeUndefined();
    expect(outcomes).toEqual([]);
  });

  test.each(modes)("before the request is whole, %s", async (mode) => {
    const { told, outcomes } = await alike({}, ({ call }) =>
      call({ mode, body: ["\0\0\0"], open: true, during: ({ stream }) => later(50).then(() => stream.close(8)) }),
    );
    expect(told.status).toBeUndefined();
    expect(outcomes).toEqual([]);
  });
});

const whole = envelope(0, goodRequest);

describe("the bytes of a request", () => {
  const wrong = "invalid_argument INVALID_REQUEST";
  const body = (...pieces: (Bytes | number)[]): Sent => ({ body: pieces });
  const small = { limits: { body: tooLong - 1 } };
  rows([
    { title: "as they should be", sent: body(whole), ending: "ok" },
    { title: "none", sent: body(), ending: "unimplemented UNSUPPORTED" },
    { title: "none, told with the headers", sent: { bare: true }, ending: "unimplemented UNSUPPORTED" },
    { title: "one", sent: body("\0"), ending: "invalid_argument INVALID_REQUEST" },
    { title: "half a head", sent: body("\0\0\0"), ending: "invalid_argument INVALID_REQUEST" },
    { title: "a head without its message", sent: body(whole.subarray(0, 5)), ending: "unimplemented UNSUPPORTED" },
    { title: "half a message", sent: body(whole.subarray(0, 12)), ending: "invalid_argument INVALID_REQUEST" },
    { title: "two messages", sent: body(whole, whole), ending: "unimplemented UNSUPPORTED" },
    {
      title: "two messages in one piece",
      sent: body(Buffer.concat([whole, whole])),
      ending: "unimplemented UNSUPPORTED",
    },
    { title: "a message and more", sent: body(whole, "more"), ending: "invalid_argument INVALID_REQUEST" },
    { title: "a message and one byte", sent: body(whole, "\0"), ending: "invalid_argument INVALID_REQUEST" },
    {
      title: "packed without an encoding",
      sent: body(envelope(1, gzipSync(goodRequest))),
      ending: "internal INTERNAL",
    },
    { title: "flag 2", sent: body(envelope(2, goodRequest)), ending: "ok" },
    { title: "flag 0x80", sent: body(envelope(0x80, goodRequest)), ending: "ok" },
    { title: "flag 0xff", sent: body(envelope(0xff, goodRequest)), ending: "internal INTERNAL" },
    {
      title: "more promised than comes",
      sent: body(envelope(0, goodRequest, 1000)),
      ending: "invalid_argument INVALID_REQUEST",
    },
    {
      title: "less promised than comes",
      sent: body(envelope(0, goodRequest, 3)),
      ending: "resource_exhausted REQUEST_TOO_LARGE",
    },
    {
      title: "4 GiB promised",
      sent: body(envelope(0, goodRequest, 0xffff_ffff)),
      ending: "resource_exhausted REQUEST_TOO_LARGE",
    },
    {
      title: "4 GiB promised, and no end",
      sent: { ...body(envelope(0, goodRequest, 0xffff_ffff)), open: true },
      ending: "resource_exhausted REQUEST_TOO_LARGE",
    },
    { title: "no protobuf", sent: body(envelope(0, "\xff\xff\xff\xff")), ending: wrong },
    { title: "a field cut off", sent: body(envelope(0, sized(1, "ab", 90))), ending: wrong },
    { title: "a text that is not UTF-8", sent: body(envelope(0, sized(1, [sized(1, "\xc3\x28")]))), ending: wrong },
    {
      title: "fields that nobody knows",
      sent: body(envelope(0, Buffer.concat([goodRequest, numbered(900, 7), sized(901, "new")]))),
      ending: "ok",
    },
    {
      title: "a field twice",
      sent: body(envelope(0, Buffer.concat([goodRequest, sized(1, goodPrompt)]))),
      ending: "ok",
    },
    {
      title: "more than may come",
      server: small,
      sent: body(envelope(0, Buffer.alloc(tooLong, "\n\0"))),
      ending: "resource_exhausted REQUEST_TOO_LARGE",
    },
    {
      title: "more than may come, in pieces",
      server: small,
      sent: body(
        ...Array.from({ length: 8 }, (_, index) =>
          index === 0 ? envelope(0, Buffer.alloc(tooLong / 8), tooLong) : Buffer.alloc(tooLong / 8),
        ),
      ),
      ending: "resource_exhausted REQUEST_TOO_LARGE",
    },
    {
      title: "as many as may come, without a message's end",
      server: small,
      sent: body(envelope(0, Buffer.alloc(100), tooLong - 1)),
      ending: "invalid_argument INVALID_REQUEST",
    },
    {
      title: "many small messages that are too much together",
      server: small,
      sent: body(Buffer.concat(Array.from({ length: 2000 }, () => whole))),
      ending: "unimplemented UNSUPPORTED",
    },
    { title: "one by one", sent: body(...[...whole].map((byte) => Buffer.of(byte))), ending: "ok" },
    {
      title: "with pauses",
      sent: body(whole.subarray(0, 3), 40, whole.subarray(3, 9), 40, whole.subarray(9)),
      ending: "ok",
    },
    { title: "with a late end", sent: body(whole, 120), ending: "ok" },
    {
      title: "more than the process holds",
      server: { limits: { buffered: "1MiB", body: "4MiB" } },
      sent: body(envelope(0, Buffer.alloc(2 << 20))),
      ending: "unavailable OUT_OF_MEMORY",
    },
  ]);

  describe("that do not end:", () => {
    const open = (...pieces: (Bytes | number)[]): Sent => ({ body: pieces, open: true, ...leaving });
    rows([
      { title: "two messages", sent: open(whole, whole), ending: "unimplemented UNSUPPORTED" },
      { title: "two messages, the second one late", sent: open(whole, 50, whole), ending: "unimplemented UNSUPPORTED" },
      { title: "a message and a byte", sent: open(whole, "\0"), ending: "reset 8" },
      {
        title: "a message and 4 GiB promised",
        sent: open(whole, envelope(0, "", 0xffff_ffff)),
        ending: "resource_exhausted REQUEST_TOO_LARGE",
      },
      {
        title: "a message and more than may come promised",
        sent: open(whole, 50, envelope(0, "", 100 << 20)),
        ending: "resource_exhausted REQUEST_TOO_LARGE",
      },
      { title: "no protobuf", sent: open(envelope(0, "\xff\xff\xff\xff")), ending: "invalid_argument INVALID_REQUEST" },
      { title: "no prompt", sent: open(envelope(0, "")), ending: "reset 8" },
      {
        title: "packed without an encoding",
        sent: open(envelope(1, gzipSync(goodRequest))),
        ending: "internal INTERNAL",
      },
      { title: "flag 2", sent: open(envelope(2, goodRequest)), ending: "reset 8" },
      { title: "half a message", sent: open(whole.subarray(0, 12)), ending: "reset 8" },
    ]);
  });

  test.each(modes)("and what was held of them is given back, %s", async (mode) => {
    const server = { limits: { buffered: "1MiB" } };
    const large = bodyOf(mode, { text: "x".repeat(400_000) });
    const { told } = await alike({ server }, async ({ call }) => {
      const endings: string[] = [];
      for (let turn = 0; turn < 4; turn += 1) {
        endings.push((await call({ mode, body: [large] })).ending);
        endings.push(
          (
            await call({
              mode,
              body: [large.subarray(0, 300_000)],
              open: true,
              during: ({ stream }) => later(30).then(() => stream.close(8)),
            })
          ).ending,
        );
        endings.push((await call({ mode, body: [large, "more"] })).ending);
      }
      return endings;
    });
    const endings = ["ok", "reset 8", "invalid_argument INVALID_REQUEST"];
    expect(told).toEqual([...endings, ...endings, ...endings, ...endings]);
  });

  test.each(modes)("a whole message and no end, %s", async (mode) => {
    const { told } = await alike({}, ({ call }) =>
      call({ mode, open: true, during: ({ stream }) => later(300).then(() => stream.close(8)) }),
    );
    expect(told.ending).toBe("reset 8");
  });
});

describe("the headers of a request", () => {
  const type = (value: string | string[] | undefined): Sent => ({ headers: { "content-type": value } });
  const field = (name: string, value: string | string[] | undefined): Sent => ({ headers: { [name]: value } });
  const many = (count: number): Sent => ({
    headers: Object.fromEntries(Array.from({ length: count }, (_, index) => [`x-${index}`, "1"])),
  });
  rows([
    { title: "application/grpc+proto", sent: type("application/grpc+proto"), ending: "ok" },
    {
      title: "application/grpc+json",
      sent: type("application/grpc+json"),
      ending: "invalid_argument INVALID_REQUEST",
      past: true,
    },
    { title: "APPLICATION/GRPC", sent: type("APPLICATION/GRPC"), ending: "ok", past: true },
    { title: "a type with a parameter", sent: type("application/grpc; charset=utf-8"), ending: "HTTP 415", past: true },
    { title: "application/grpc-web", sent: type("application/grpc-web"), ending: "ok", past: true },
    { title: "application/grpcfoo", sent: type("application/grpcfoo"), ending: "HTTP 415", past: true },
    { title: "text/plain", sent: type("text/plain"), ending: "HTTP 415", past: true },
    { title: "no type", sent: type(undefined), ending: "HTTP 415", past: true },
    { title: "two types", sent: type(["application/grpc", "application/json"]), ending: "ok" },
    { title: "grpc-encoding: identity", sent: field("grpc-encoding", "identity"), ending: "ok" },
    {
      title: "grpc-encoding: nothing",
      sent: field("grpc-encoding", ""),
      ending: "unimplemented UNSUPPORTED",
      past: true,
    },
    {
      title: "grpc-encoding: unknown",
      sent: field("grpc-encoding", "br"),
      ending: "unimplemented UNSUPPORTED",
      past: true,
    },
    {
      title: "grpc-encoding twice",
      sent: field("grpc-encoding", ["identity", "identity"]),
      ending: "unimplemented UNSUPPORTED",
      past: true,
    },
    {
      title: "grpc-encoding: gzip",
      sent: { ...field("grpc-encoding", "gzip"), body: [envelope(1, gzipSync(goodRequest))] },
      ending: "ok",
      past: true,
    },
    {
      title: "grpc-encoding: gzip, of what is none",
      sent: { ...field("grpc-encoding", "gzip"), body: [envelope(1, goodRequest)] },
      ending: "invalid_argument INVALID_REQUEST",
      past: true,
    },
    {
      title: "content-length",
      sent: { headers: { "content-length": String(whole.length) }, body: [whole] },
      ending: "ok",
    },
    { title: "GET", sent: { method: "GET" }, ending: "HTTP 405", past: true },
    { title: "GET without a body", sent: { method: "GET", bare: true }, ending: "HTTP 405", past: true },
    { title: "PUT", sent: { method: "PUT" }, ending: "HTTP 405", past: true },
    { title: "OPTIONS", sent: { method: "OPTIONS" }, ending: "HTTP 405", past: true },
    { title: "https, says the client", sent: field(":scheme", "https"), ending: "ok" },
    { title: "trailers of its own", sent: { trailers: { "x-sum": "1" } }, ending: "ok" },
    {
      title: "a foreign authority where everybody may come",
      config: { auth: { open: true } },
      sent: field(":authority", "evil.example.com"),
      ending: "ok",
    },
    { title: "no te", sent: field("te", undefined), ending: "ok" },
    { title: "an origin", sent: field("origin", "https://app.example.com"), ending: "ok", past: true },
    { title: "expect", sent: field("expect", "100-continue"), ending: "ok", past: true },
    { title: "101 headers", sent: many(101), ending: "HTTP 431", past: true },
    { title: "90 headers", sent: many(90), ending: "ok" },
    { title: "a header of 20 KB", sent: field("x-long", "x".repeat(20_000)), ending: "HTTP 431", past: true },
    { title: "headers in binary", sent: field("trace-bin", "AAECAw=="), ending: "ok" },
    { title: "headers in binary that are none", sent: field("trace-bin", "!!!"), ending: "ok" },
    { title: "a host in place of the authority", sent: field("host", "127.0.0.1"), ending: "ok" },
    {
      title: "a host that is not the authority",
      sent: { headers: { ":authority": "127.0.0.1", host: "localhost" } },
      ending: "HTTP 400",
      past: true,
    },
    { title: "a foreign authority", sent: field(":authority", "evil.example.com"), ending: "HTTP 400", past: true },
    { title: "an authority that is none", sent: field(":authority", "a b"), ending: "reset 1", past: true },
    { title: "localhost", sent: field(":authority", "localhost:8000"), ending: "ok" },
    { title: "no id", sent: field("x-request-id", undefined), ending: "ok" },
    { title: "an id that is unfit", sent: field("x-request-id", "a b"), ending: "ok" },
    { title: "two ids", sent: field("x-request-id", ["one", "two"]), ending: "ok" },
    { title: "no trace", sent: field("traceparent", undefined), ending: "ok" },
    { title: "a trace that is none", sent: field("traceparent", "00-00-00-00"), ending: "ok" },
    { title: "a trace of zeros", sent: field("traceparent", `00-${"0".repeat(32)}-b7ad6b7169203331-01`), ending: "ok" },
    { title: "accept-encoding", sent: field("accept-encoding", "gzip"), ending: "ok" },
    { title: "content-encoding", sent: field("content-encoding", "gzip"), ending: "ok" },
    { title: "connect-protocol-version", sent: field("connect-protocol-version", "1"), ending: "ok" },
    { title: "connect-timeout-ms", sent: field("connect-timeout-ms", "1"), ending: "ok" },
    { title: "connection headers of a proxy", sent: field("x-forwarded-for", "10.1.2.3, 10.0.0.1"), ending: "ok" },
    { title: "x-http-method-override", sent: field("x-http-method-override", "GET"), ending: "ok" },
  ]);

  test.each(modes.flatMap((mode) => [-1, 1, 10_000_000_000].map((off) => ({ mode, off }))))(
    "a content-length that is off by $off, $mode",
    async ({ mode, off }) => {
      const body = bodyOf(mode, { text: "x" });
      const { told } = await alike(
        {},
        ({ call }) => call({ mode, headers: { "content-length": String(body.length + off) }, body: [body] }),
        "either",
      );
      expect(told.ending).toBe(`reset ${off < 0 ? 2 : 1}`);
    },
  );

  describe("and paths", () => {
    const paths = (mode: Mode): Row[] => [
      { title: "with a query", sent: { path: `${pathOf(mode)}?a=b` }, ending: "ok", past: true },
      {
        title: "with an encoded letter",
        sent: { path: pathOf(mode).replace("C", "%43") },
        ending: "HTTP 404",
        past: true,
      },
      { title: "in lower case", sent: { path: pathOf(mode).toLowerCase() }, ending: "HTTP 404", past: true },
      { title: "with a slash at the end", sent: { path: `${pathOf(mode)}/` }, ending: "HTTP 404", past: true },
      {
        title: "of an unknown method",
        sent: { path: "/everhop.v1.ChatService/Nothing" },
        ending: "HTTP 404",
        past: true,
      },
      {
        title: "of an unknown service",
        sent: { path: "/everhop.v2.ChatService/StreamChat" },
        ending: "HTTP 404",
        past: true,
      },
    ];
    for (const mode of modes) rows(paths(mode), [mode]);
  });

  describe("of pages", () => {
    const server = { cors: { origins: ["https://app.example.com"] } };
    rows([
      { title: "that may call", server, sent: field("origin", "https://app.example.com"), ending: "ok", past: true },
      { title: "that may not", server, sent: field("origin", "https://evil.example.com"), ending: "ok", past: true },
      { title: "and of no page", server, ending: "ok" },
    ]);
  });
});

describe("packed answers", () => {
  const accepts = (value: string | string[]): Sent => ({ headers: { "grpc-accept-encoding": value } });
  const long = { text: "a long story ".repeat(400) };
  rows([
    { title: "a short one for gzip", sent: accepts("gzip"), ending: "ok" },
    { title: "a long one for gzip", first: long, sent: accepts("gzip"), ending: "ok" },
    { title: "gzip among others", first: long, sent: accepts("identity,deflate,gzip"), ending: "ok" },
    { title: "gzip among others with spaces", first: long, sent: accepts("identity , deflate , gzip"), ending: "ok" },
    { title: "another one", first: long, sent: accepts("br"), ending: "ok" },
    { title: "one whose name holds gzip's", first: long, sent: accepts("xgzip"), ending: "ok" },
    { title: "GZIP", first: long, sent: accepts("GZIP"), ending: "ok" },
    { title: "none", first: long, sent: accepts(""), ending: "ok" },
    { title: "two headers", first: long, sent: accepts(["identity", "gzip"]), ending: "ok" },
    { title: "weighted", first: long, sent: accepts("gzip;q=1"), ending: "ok" },
    {
      title: "an error's",
      sent: { ...accepts("gzip"), body: [envelope(0, "")] },
      ending: "invalid_argument INVALID_REQUEST",
    },
  ]);

  test("are packed where it is worth it, and only there", async () => {
    const { told } = await alike({ first: long }, async ({ call }) => [
      await call(accepts("gzip")),
      await call({ ...accepts("gzip"), mode: "stream" }),
    ]);
    expect(told[0]?.headers["grpc-encoding"]).toBe("gzip");
    expect(told[0]?.messages).toMatchObject([{ flags: 1 }]);
    expect(told[1]?.messages[0]).toMatchObject({ flags: 0 });
  });

  test("are packed from the same length on, to the byte", async () => {
    // A trail has times, whose lengths differ.
    const config = { auth: { callers: [{ name: "blind", key: "sk-test-canary-blind", trail: false }] } };
    const headers = { authorization: "Bearer sk-test-canary-blind", "grpc-accept-encoding": "gzip" };
    const { told } = await alike({ config }, async ({ call }) => {
      const flags: unknown[] = [];
      for (let length = 780; length < 900; length += 1) {
        const { messages } = await call({ headers, body: [bodyOf("unary", { text: "x".repeat(length) })] });
        flags.push((messages[0] as { flags: number }).flags);
      }
      return flags;
    });
    expect([...new Set(told)]).toEqual([0, 1]);
  });

  test("large pieces of a stream are packed too", async () => {
    const config = configOf(await startLargeUpstream(100_000));
    const { told } = await alike({ config }, ({ call }) => call({ ...accepts("gzip"), mode: "stream" }));
    expect(told.messages.map((each) => (each as { flags: number }).flags)).toContain(1);
  });
});

describe("how an answer is taken", () => {
  test.each(modes)("slowly, through a small window, %s", async (mode) => {
    const config = configOf(await startLargeUpstream(200_000));
    const { told } = await alike({ config }, async ({ call }) => {
      const { events, ...rest } = await call({
        mode,
        window: 4096,
        async during({ stream }) {
          for (let turn = 0; turn < 20; turn += 1) {
            stream.pause();
            await later(5);
            stream.resume();
            await later(1);
          }
        },
      });
      // Of trailers that come while nothing is read the client tells when it likes.
      return { ...rest, last: events.at(-1) };
    });
    expect(told.ending).toBe("ok");
    expect(JSON.stringify(told.messages).split("x".repeat(16_384)).length).toBe(14);
  });

  const unread = { window: 1000, unread: true } as const;
  const server = { limits: { stalled: "300ms" } };
  test.each(modes)("not at all: it is cut, %s", async (mode) => {
    const config = configOf(await startLargeUpstream(8_000_000));
    const { told, outcomes } = await alike({ config, server }, ({ call }) => call({ mode, ...unread }));
    expect(told.ending).toBe("cut 0");
    expect(outcomes).toEqual([[mode === "unary" ? "ok" : "caller_gone"]]);
  });

  const stuck = { ...unread, mode: "stream" } as const;
  const patient = { limits: { stalled: "900ms" } };
  test("not at all, by a client that then leaves", async () => {
    const config = configOf(await startLargeUpstream(8_000_000));
    const { told, outcomes } = await alike({ config, server: patient }, ({ call }) =>
      call({ ...stuck, during: ({ stream }) => later(200).then(() => stream.close(8)) }),
    );
    expect(told.ending).toBe("cut 8");
    expect(outcomes).toEqual([["caller_gone"]]);
  });

  test("not at all, until its deadline passes", async () => {
    const config = configOf(await startLargeUpstream(8_000_000));
    const { told, outcomes } = await alike({ config, server: patient }, ({ call }) =>
      call({ ...stuck, headers: { "grpc-timeout": "300m" } }),
    );
    expect(told.ending).toBe("cut 0");
    expect(outcomes).toEqual([["caller_gone"]]);
  });

  test("not at all, until the process stops", async () => {
    const config = configOf(await startLargeUpstream(8_000_000));
    const { told, outcomes } = await alike({ config, server: patient }, ({ call, gateway }) =>
      call({ ...stuck, during: () => later(200).then(() => gateway.gateway.cut(new CallerGone())) }),
    );
    expect(told.ending).toBe("cut 0");
    expect(outcomes).toEqual([["caller_gone"]]);
  });

  test("though it is longer than a stream may be", async () => {
    const config = configOf(await startLargeUpstream(500_000));
    const { told } = await alike({ config, server: { limits: { stream_size: "100KiB" } } }, ({ call }) =>
      call({ mode: "stream" }),
    );
    expect(told.ending).toBe("unavailable STREAM_LIMIT");
  });

  test.each(modes)("not at all, though it is short: it is cut, %s", async (mode) => {
    const { told, outcomes } = await alike({ server }, async ({ call }) => {
      const cut = await call({ mode, ...unread, window: 10 });
      // The message tells times, which need not take as many bytes in both.
      return { ...cut, rest: cut.rest.replace(/^(..).{8}/, "$1 length ") };
    });
    expect(told.ending).toBe("cut 0");
    expect(outcomes).toEqual([["ok"]]);
  });
});

describe("a gateway that leaves", () => {
  test.each(modes)("while it drains, %s", async (mode) => {
    const { told } = await alike({}, async ({ call, gateway }) => {
      gateway.gateway.enter("draining");
      gateway.listener.announce();
      return call({ mode });
    });
    expect(told.ending).toBe("ok");
  });

  test("closes its port in the middle of a stream", async () => {
    const { told } = await alike({ first: { text: wordy, tokensPerSecond: 100 } }, ({ call, gateway }) =>
      call({
        mode: "stream",
        async during({ messages }) {
          await messages(4);
          gateway.gateway.enter("closing");
          gateway.listener.stop();
        },
      }),
    );
    expect(told.ending).toBe("ok");
    expect(told.frames.join()).toContain("GOAWAY");
  });

  test("cuts before the first content", async () => {
    for (const mode of modes) {
      const { told } = await alike({ first: { latencyMs: 5000 } }, ({ call, gateway, providers }) =>
        call({ mode, during: () => providers.first.arrived(1).then(() => gateway.gateway.cut(new CallerGone())) }),
      );
      expect(told.ending).toBe("canceled CANCELED");
    }
  });

  test("cuts in the middle of a stream", async () => {
    const { told } = await alike({ first: { text: wordy, tokensPerSecond: 20 } }, async ({ call, gateway }) => {
      const { messages, ...rest } = await call({
        mode: "stream",
        during: ({ messages }) => messages(4).then(() => gateway.gateway.cut(new CallerGone())),
      });
      return { ...rest, some: messages.length >= 4 };
    });
    expect(told).toMatchObject({ ending: "canceled CANCELED", some: true });
  });

  test.each(modes)("cuts before the request is whole, %s", async (mode) => {
    const { told } = await alike({}, ({ call, gateway }) =>
      call({
        mode,
        body: ["\0\0"],
        open: true,
        async during({ stream }) {
          await later(50);
          gateway.gateway.cut(new CallerGone());
          await later(300);
          stream.close(8);
        },
      }),
    );
    expect(told.ending).toBe("reset 8");
  });

  test.each(modes)("serves nobody once it has cut, %s", async (mode) => {
    const { told } = await alike({}, async ({ call, gateway }) => {
      gateway.gateway.cut(new CallerGone());
      return call({ mode });
    });
    expect(told.ending).toBe("canceled CANCELED");
  });
});

describe("grpc-js cannot tell", () => {
  test.each(modes)("a good answer, a failure, a deadline, %s", async (mode) => {
    const down: Fault = { kind: "status", status: 500 };
    const { told } = await alike(
      { first: { schedule: [{ kind: "none" }, down, { kind: "none", delayMs: 500 }] }, second: { schedule: [down] } },
      async ({ gateway }) => {
        const wire = openWire("gRPC", gateway.address);
        const good = await send(wire, mode, { text: "hop" });
        const failed = await failureOf(send(wire, mode, { text: "hop", retryCount: 1 }));
        const late = await failureOf(send(wire, mode, { text: "hop" }, { deadlineMs: 100 }));
        return {
          text: good.text,
          trail: good.trail,
          failed: { status: failed.status, trail: failed.trail },
          late: late.status,
        };
      },
      3,
    );
    expect(told).toMatchObject({ text: "You said: hop", failed: { status: "Unavailable" }, late: "DeadlineExceeded" });
  });
});

test("a gateway says by its configuration which of the two answers", async () => {
  const head = { ":method": "POST", ":path": pathOf("unary"), "content-type": "application/grpc" };
  for (const [lanes, wanted] of [
    ["on", true],
    ["off", false],
  ] as const) {
    const providers = await startProviders({ only: {} });
    const gateway = await startGateway({ ...poolConfig(providers), server: { lanes } }, providers);
    expect(gateway.gateway.wantsStream(head)).toBe(wanted);
    expect((await record(gateway.port, { body: [envelope(0, messageOf("unary", { text: "hop" }))] })).ending).toBe(
      "ok",
    );
    expect(gateway.laneCalls).toBe(wanted ? 1 : 0);
  }
});
