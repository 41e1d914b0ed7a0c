import { describe, expect, test } from "vitest";
import type { Fault } from "../../src/providers/simulated/fault.ts";
import { type ProviderConfig, poolConfig, startGateway, startProviders } from "../support/gateway.ts";
import { postChat, readAll } from "../support/rest.ts";
import {
  type Ask,
  bodyOf,
  everywhere,
  failureOf,
  type Mode,
  openWire,
  send,
  type WireName,
  wireNames,
} from "../support/wires.ts";
import { movesOn, refusals } from "./fault-table.ts";

/** Long enough for many tokens, with characters that a cut may go through. */
const question = "hop 🦘 over é every hole that the road may have, and land";
const answer = `You said: ${question}`;

/** A first provider that fails as told and a second that is fine. */
async function startPair(fault: Fault, first: ProviderConfig = {}) {
  const providers = await startProviders({ first: { schedule: [fault], eventPerWrite: true }, second: {} });
  const gateway = await startGateway(poolConfig(providers, { first }), providers);
  return { ...gateway, providers };
}

function call(name: WireName, mode: Mode, address: string, ask: Ask = { text: question }) {
  return send(openWire(name, address), mode, ask);
}

describe("a fault before the first content is invisible", () => {
  const table = movesOn.flatMap((row) =>
    everywhere.filter(({ mode }) => !row.only || row.only === mode).map((where) => ({ ...row, ...where })),
  );

  test.each(table)("$title, $mode over $name", async ({ fault, outcome, status, hint, first, again, name, mode }) => {
    const { address, providers } = await startPair(fault, first);
    const { text, provider, trail } = await call(name, mode, address);
    expect(text).toBe(answer);
    expect(provider).toBe("second");
    const failed = { provider: "first", outcome, httpStatus: status, hint: expect.stringMatching(hint) };
    const failures = again ? [failed, failed] : [failed];
    expect(trail).toEqual({
      attempts: [...failures, { provider: "second", outcome: "ok", httpStatus: 200, hint: "" }],
      skips: [],
      partial: false,
    });
    expect(providers.first.seen.length).toBe(failures.length);
    expect(providers.second.seen.length).toBe(1);
    await providers.first.idle();
  });

  test.each(everywhere)("a port that refuses, $mode over $name", async ({ name, mode }) => {
    const providers = await startProviders({ first: {}, second: {} });
    await providers.first.close();
    const { address } = await startGateway(poolConfig(providers), providers);
    const { text, trail } = await call(name, mode, address);
    expect(text).toBe(answer);
    expect(trail?.attempts).toEqual([
      { provider: "first", outcome: "transient_fault", httpStatus: 0, hint: expect.stringMatching(/nothing listens/) },
      { provider: "second", outcome: "ok", httpStatus: 200, hint: "" },
    ]);
  });
});

describe("a fault after the first content ends a stream visibly broken", () => {
  const short = { timeouts: { idle: "100ms" } };
  const rows: { title: string; fault: Fault; first?: ProviderConfig }[] = [
    { title: "a close", fault: { kind: "cut_after" } },
    // Paced, so that the first content is out before the reset, which may take with it what has not been read.
    { title: "a reset", fault: { kind: "reset_after", tokensPerSecond: 20 } },
    { title: "an end without finish reason", fault: { kind: "end_after" } },
    { title: "silence", fault: { kind: "stall_after" }, first: short },
    { title: "nonsense", fault: { kind: "malformed_after" } },
    { title: "half an event and a close", fault: { kind: "half_event_then_cut" } },
    { title: "an error event", fault: { kind: "error_event_after" } },
    {
      title: "an error event of a rate limit",
      fault: { kind: "error_event_after", type: "rate_limit_error", code: 429 },
    },
    { title: "a close after many events", fault: { kind: "cut_after", events: 8 } },
    { title: "fewer bytes than were promised", fault: { kind: "short_content_length" } },
    { title: "a close just before the finish reason", fault: { kind: "cut_after", events: 100 } },
  ];
  const rpcTable = rows.flatMap((row) => (["gRPC", "gRPC-Web", "Connect"] as const).map((name) => ({ ...row, name })));

  test.each(rpcTable)("$title, over $name: a status that tells what happened", async ({ fault, first, name }) => {
    const { address, providers, ended } = await startPair(fault, first);
    const failure = await failureOf(call(name, "stream", address));
    expect(failure).toMatchObject({ status: "Unavailable", reason: "STREAM_INTERRUPTED" });
    expect(failure.trail).toMatchObject({
      partial: true,
      attempts: [{ provider: "first", outcome: expect.not.stringMatching(/^ok$/), hint: expect.stringMatching(/\S/) }],
    });
    expect(failure.trail?.attempts.length).toBe(1);
    expect(failure.text).not.toBe("");
    expect(answer.startsWith(failure.text)).toBe(true);
    expect(providers.second.seen.length).toBe(0);
    expect((await ended(1))[0]?.outcome).not.toBe("ok");
    await providers.first.idle();
  });

  test.each(rows)("$title, over REST: the content that came, one error event, no [DONE]", async ({ fault, first }) => {
    const { address, providers } = await startPair(fault, first);
    const response = await postChat(address, { ...bodyOf({ text: question }), stream: true });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
    const events = await readAll(response);
    expect(events).not.toContain("[DONE]");
    // Each parses: nothing of a broken event was passed on.
    const chunks = events.map((data) => JSON.parse(data) as Chunk);
    const last = chunks.pop();
    expect(chunks.every(({ error }) => error === undefined)).toBe(true);
    expect(last).toMatchObject({
      error: {
        message: expect.stringMatching(/\S/),
        type: "server_error",
        code: "stream_interrupted",
        partial: true,
        details: { trail: { partial: true, attempts: [{ provider: "first" }] } },
      },
    });
    const text = chunks.map(({ choices }) => choices?.[0]?.delta?.content ?? "").join("");
    expect(text).not.toBe("");
    expect(answer.startsWith(text)).toBe(true);
    expect(providers.second.seen.length).toBe(0);
    await providers.first.idle();
  });
});

interface Chunk {
  readonly error?: object;
  readonly choices?: readonly { readonly delta?: { readonly content?: string | null } }[];
}

describe("a whole answer that is oddly put ends clean", () => {
  const quirks: { fault: Fault; only?: Mode; most?: number }[] = [
    { fault: { kind: "no_done" } },
    { fault: { kind: "hold_open_after_done" }, only: "stream", most: 1 },
    { fault: { kind: "hold_open_after_done", ms: 50 }, only: "unary" },
    { fault: { kind: "late_usage", ms: 20 } },
    { fault: { kind: "usage_in_finish" } },
    { fault: { kind: "usage_with_choice" } },
    { fault: { kind: "rubbish_usage" } },
    { fault: { kind: "finish_with_content" } },
    { fault: { kind: "delta_after_finish" } },
    { fault: { kind: "missing_finish" } },
    { fault: { kind: "candidates_reversed" } },
    { fault: { kind: "null_deltas" } },
    { fault: { kind: "bare_choices" } },
    { fault: { kind: "empty_choices" } },
    { fault: { kind: "new_ids" } },
    { fault: { kind: "comments" } },
    { fault: { kind: "crlf" } },
    { fault: { kind: "text_plain" } },
    { fault: { kind: "data_after_done" } },
    { fault: { kind: "long_line", bytes: 500_000 } },
    { fault: { kind: "invalid_utf8" } },
    { fault: { kind: "processing" } },
    { fault: { kind: "drip", msPerByte: 0 } },
  ];
  const table = quirks.flatMap(({ fault, only, most = 2 }) =>
    [1, 2]
      .slice(0, most)
      .flatMap((candidateCount) =>
        everywhere
          .filter(({ mode }) => !only || only === mode)
          .map((where) => ({ ...where, fault, candidateCount, kind: fault.kind })),
      ),
  );

  // Over REST the client of these tests itself insists on exactly one [DONE] at the very end.
  test.each(table)("$kind, $mode of $candidateCount over $name", async ({ fault, name, mode, candidateCount }) => {
    const { address, providers } = await startPair(fault);
    const { text, provider, trail } = await call(name, mode, address, { text: question, candidateCount });
    expect(text).toBe(answer);
    expect(provider).toBe("first");
    expect(trail?.attempts).toEqual([{ provider: "first", outcome: "ok", httpStatus: 200, hint: "" }]);
    expect(trail?.partial).toBe(false);
    expect(providers.second.seen.length).toBe(0);
  });

  test("a provider that holds its socket open after [DONE] is left, not waited for", async () => {
    const { address, providers } = await startPair({ kind: "hold_open_after_done", ms: 3_600_000 });
    expect((await call("REST", "stream", address)).text).toBe(answer);
    await providers.first.idle();
    expect(providers.first.seen[0]?.aborted).toBe(true);
  });
});

describe("a provider's refusal of the request itself is told at once, without asking anybody else", () => {
  const table = refusals.flatMap((row) => everywhere.map((where) => ({ ...row, ...where })));

  test.each(table)("$title, $mode over $name", async ({ fault, mayBeOurs, status, reason, name, mode }) => {
    const { address, providers } = await startPair(fault);
    const failure = await failureOf(call(name, mode, address));
    const column = name === "REST" ? 1 : 0;
    expect(failure).toMatchObject({ status: status[column], reason: reason[column], text: "" });
    const refused = { provider: "first", outcome: "request_refused" };
    const twice = mayBeOurs && mode === "stream";
    expect(failure.trail).toMatchObject({ attempts: twice ? [refused, refused] : [refused], partial: false });
    const asked = mode === "stream" ? { stream_options: { include_usage: true } } : {};
    const [first, second] = providers.first.seen.map(({ json }) => json);
    expect(first).toMatchObject(asked);
    // The same, but for what the gateway had put in.
    if (twice) expect({ ...(second as object), ...asked }).toEqual(first);
    expect(second ?? {}).not.toHaveProperty("stream_options");
    expect(providers.second.seen.length).toBe(0);
  });

  test("a stream that asked for its usage itself is refused at the first try", async () => {
    const { address, providers } = await startPair({ kind: "status", status: 400 });
    const body = { ...bodyOf({ text: question }), stream: true, stream_options: { include_usage: true } };
    expect((await postChat(address, body)).status).toBe(400);
    expect(providers.first.seen.length).toBe(1);
    expect(providers.second.seen.length).toBe(0);
  });

  test("names the provider's own code and the parameter that it found wrong", async () => {
    // The simulated provider itself finds this body wrong; the gateway leaves roles to the vendors.
    const providers = await startProviders({ first: {}, second: {} });
    const { address } = await startGateway(poolConfig(providers), providers);
    const body = { model: "think", messages: [{ role: "critic", content: "hello" }] };
    const response = await postChat(address, body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: {
        type: "invalid_request_error",
        code: "invalid_request",
        param: "messages[0].role",
        details: { provider_code: "invalid_request_error" },
      },
    });
    expect(providers.second.seen.length).toBe(0);
  });
});

describe("when every provider fails", () => {
  const start = async (first: Fault, second: Fault) => {
    const providers = await startProviders({ first: { schedule: [first] }, second: { schedule: [second] } });
    const routing = { backoff: { base: "1ms", max: "1ms" } };
    return startGateway({ ...poolConfig(providers), routing }, providers);
  };
  const limit = (seconds: string): Fault => ({ kind: "status", status: 429, headers: { "retry-after": seconds } });

  test.each(everywhere)("the caller is told so, with each attempt, $mode over $name", async ({ name, mode }) => {
    const { address } = await start({ kind: "status", status: 500 }, { kind: "reset_before_headers" });
    const failure = await failureOf(call(name, mode, address));
    expect(failure).toMatchObject(
      name === "REST"
        ? { status: 502, reason: "all_providers_failed" }
        : { status: "Unavailable", reason: "ALL_PROVIDERS_FAILED" },
    );
    const first = { provider: "first", outcome: "transient_fault", httpStatus: 500 };
    const second = { provider: "second", outcome: "transient_fault", httpStatus: 0 };
    // The last one of four is a repeat of whoever can be asked again soonest.
    const last = { provider: expect.stringMatching(/^(first|second)$/), outcome: "transient_fault" };
    expect(failure.trail).toMatchObject({ attempts: [first, first, second, last], skips: [], partial: false });
    expect(failure.text).toBe("");
    expect(failure.headers.get("x-everhop-attempts")).toBe("4");
    // Its own client's retries would only multiply the gateway's.
    if (name === "REST") expect(failure.headers.get("x-should-retry")).toBe("false");
    else expect(failure.headers.get("grpc-retry-pushback-ms")).toBe("-1");
  });

  test.each(everywhere)(
    "a key that providers refuse is no reason to refuse the caller's, $mode over $name",
    async ({ name, mode }) => {
      const { address } = await start({ kind: "status", status: 401 }, { kind: "status", status: 403 });
      const failure = await failureOf(call(name, mode, address));
      expect(failure.status).toBe(name === "REST" ? 502 : "Unavailable");
      expect(failure.trail?.attempts.map(({ outcome }) => outcome)).toEqual(["key_refused", "key_refused"]);
    },
  );

  test.each(everywhere)(
    "by rate, the caller learns when to come back: the soonest, $mode over $name",
    async ({ name, mode }) => {
      // Too far off to be waited for.
      const { address } = await start(limit("60"), limit("20"));
      const failure = await failureOf(call(name, mode, address));
      expect(failure.retryDelayMs).toBeGreaterThan(0);
      expect(failure.retryDelayMs).toBeLessThanOrEqual(20_000);
      const delayMs = failure.retryDelayMs ?? 0;
      expect(failure.trail?.attempts.map(({ outcome }) => outcome)).toEqual(["rate_limited", "rate_limited"]);
      if (name === "REST") {
        expect(failure).toMatchObject({ status: 429, reason: "rate_limit_exceeded" });
        expect(failure.headers.get("retry-after")).toBe(String(Math.ceil(delayMs / 1000)));
      } else {
        expect(failure).toMatchObject({ status: "ResourceExhausted", reason: "RATE_LIMIT_EXCEEDED" });
        expect(Math.ceil(Number(failure.headers.get("grpc-retry-pushback-ms")))).toBeGreaterThan(0);
        expect(Number(failure.headers.get("grpc-retry-pushback-ms"))).toBeLessThanOrEqual(delayMs);
      }
    },
  );

  test.each(everywhere)(
    "by rate and by quota, it is a limit all the same, $mode over $name",
    async ({ name, mode }) => {
      const { address } = await start(limit("20"), { kind: "status", status: 402 });
      const failure = await failureOf(call(name, mode, address));
      expect(failure.status).toBe(name === "REST" ? 429 : "ResourceExhausted");
      expect(failure.retryDelayMs).toBeGreaterThan(0);
    },
  );

  test.each(everywhere)("one of them by rate only, it is no limit, $mode over $name", async ({ name, mode }) => {
    const { address } = await start(limit("20"), { kind: "status", status: 500 });
    const failure = await failureOf(call(name, mode, address));
    expect(failure.status).toBe(name === "REST" ? 502 : "Unavailable");
  });
});

describe("when every provider is disabled", () => {
  test.each(everywhere)("nothing is tried and the caller may come back, $mode over $name", async ({ name, mode }) => {
    const providers = await startProviders({ first: {}, second: {} });
    const { address } = await startGateway(poolConfig(providers, { each: { enabled: false } }), providers);
    const failure = await failureOf(call(name, mode, address));
    expect(failure).toMatchObject(
      name === "REST"
        ? { status: 503, reason: "service_unavailable" }
        : { status: "Unavailable", reason: "SERVICE_UNAVAILABLE" },
    );
    expect(failure.retryDelayMs).toBeGreaterThan(0);
    if (name === "REST") expect(failure.headers.get("retry-after")).toMatch(/^[1-9]\d*$/);
    expect(failure.trail).toEqual({
      attempts: [],
      skips: ["first/first-model disabled 1", "second/second-model disabled 1"],
      partial: false,
    });
    expect(providers.first.seen.length + providers.second.seen.length).toBe(0);
  });

  test("but one, that one serves and the trail tells who was passed over", async () => {
    const providers = await startProviders({ first: {}, second: {} });
    const { address } = await startGateway(poolConfig(providers, { first: { enabled: false } }), providers);
    const { trail } = await call("gRPC", "unary", address);
    expect(trail).toMatchObject({ attempts: [{ provider: "second" }], skips: ["first/first-model disabled 1"] });
  });
});

describe("one connection after the other", () => {
  test("serves whatever faults came before it", async () => {
    // Before the first content a sole provider is asked again, after it the caller is told.
    const calls: { faults: Fault[]; told: "answer" | "failure" }[] = [
      { faults: [{ kind: "cut_after" }], told: "failure" },
      { faults: [{ kind: "none" }], told: "answer" },
      { faults: [{ kind: "reset_before_headers" }, { kind: "none" }], told: "answer" },
      { faults: [{ kind: "status", status: 500 }, { kind: "none" }], told: "answer" },
      { faults: [{ kind: "error_event_after" }], told: "failure" },
      { faults: [{ kind: "none" }], told: "answer" },
    ];
    const schedule = calls.flatMap(({ faults }) => faults);
    const providers = await startProviders({ only: { schedule, eventPerWrite: true } });
    const routing = { backoff: { base: "1ms", max: "1ms" } };
    const { address } = await startGateway({ ...poolConfig(providers), routing }, providers);
    const wires = wireNames.map((name) => openWire(name, address));
    for (const wire of wires) {
      for (const { told } of calls) {
        if (told === "answer") expect((await wire.stream({ text: question })).text).toBe(answer);
        else expect((await failureOf(wire.stream({ text: question }))).text).not.toBe("");
      }
    }
    expect(providers.only.seen.length).toBe(schedule.length * wires.length);
  });
});
