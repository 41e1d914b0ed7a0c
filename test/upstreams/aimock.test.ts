import { describe, expect, test } from "vitest";
import { poolConfig, startGateway } from "../support/gateway.ts";
import { postChat, readSse } from "../support/rest.ts";
import { everywhere, failureOf, openWire, send, wireNames } from "../support/wires.ts";
import { startAimock } from "./aimock.ts";
import { ask } from "./question.ts";
import { reasonOf } from "./reason.ts";
import { openTap } from "./tap.ts";

const right = "sk-test-canary-right-0123456789";
const wrong = "sk-test-canary-wrong-0123456789";
const text = "A wombat digs, sleeps and digs again: 你好 🦡 é.";

/** Pieces that leave one by one: it takes back what it has not sent yet when it breaks off. */
const paced = { chunkSize: 8, latency: 5 };

/** One server whose answer is `text`, behind a gateway. */
async function startOne() {
  const first = await startAimock();
  first.mock.onMessage(/./s, { content: text });
  return { first, ...(await startGateway(poolConfig({ first }))) };
}

/** Two servers, of which each says who it is. */
async function startTwo(options: Parameters<typeof startAimock>[0] = {}, firstKeys = [right]) {
  const [first, second] = await Promise.all([startAimock(options), startAimock()]);
  first.mock.onMessage(/./s, { content: "I am the first, and this takes several chunks." });
  second.mock.onMessage(/./s, { content: "I am the second." });
  const gateway = await startGateway(poolConfig({ first, second }, { first: { keys: firstKeys } }));
  return { first, second, ...gateway };
}

describe.each(everywhere)("aimock behind the gateway, asked by $name, $mode,", ({ name, mode }) => {
  test("answers with its whole text and its usage", async () => {
    const { address, trails } = await startOne();
    const { candidates, usage } = await ask(name, mode, address, { text: "What does a wombat do?" });
    expect(candidates).toEqual([{ text, calls: [], finish: "stop" }]);
    expect(usage).toEqual({ input: expect.any(Number), output: expect.any(Number) });
    expect(usage?.output).toBeGreaterThan(0);
    expect(trails.map(({ attempts }) => attempts.map(({ outcome }) => outcome))).toEqual([["ok"]]);
  });

  test("gives one answer where two were wanted, and the caller gets that one whole", async () => {
    const { address } = await startOne();
    const { candidates } = await ask(name, mode, address, { text: "Twice, please", candidates: 2 });
    expect(candidates).toEqual([{ text, calls: [], finish: "stop" }]);
  });

  test("calls two functions in one answer, after some text", async () => {
    const { first, address } = await startOne();
    const calls = ["Perth", "Cairns"].map((city) => ({ name: "weather", arguments: JSON.stringify({ city }) }));
    first.mock.prependFixture({
      match: { userMessage: /warm/ },
      response: { content: "Let me see.", toolCalls: calls },
    });
    const tool = { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } };
    const { candidates } = await ask(name, mode, address, { text: "Where is it warm?", tool });
    expect(candidates).toEqual([
      {
        text: "Let me see.",
        calls: calls.map(({ arguments: argumentsJson }) => ({
          id: expect.stringMatching(/\w/),
          name: "weather",
          argumentsJson,
        })),
        finish: "tool_calls",
      },
    ]);
    const ids = candidates[0]?.calls.map(({ id }) => id);
    expect(new Set(ids).size).toBe(2);
  });

  test("is told the result of a call", async () => {
    const { first, address } = await startOne();
    const response = { content: "Twenty degrees." };
    first.mock.prependFixture({ match: { toolCallId: "call_7", toolResultContains: "20 °C" }, response });
    const { candidates } = await ask(name, mode, address, {
      text: "How warm is it?",
      tool: { name: "weather", parameters: { type: "object" } },
      toolResult: { argumentsJson: '{"city":"Perth"}', text: "20 °C" },
    });
    expect(candidates[0]?.text).toBe("Twenty degrees.");
  });

  test("is told which shape the answer must have", async () => {
    const { first, address } = await startOne();
    first.mock.prependFixture({ match: { responseFormat: "json_schema" }, response: { content: '{"digs":true}' } });
    const schema = { type: "object", properties: { digs: { type: "boolean" } }, required: ["digs"] };
    const { candidates } = await ask(name, mode, address, { text: "In JSON", schema });
    expect(candidates[0]?.text).toBe('{"digs":true}');
  });

  test("is told what only it understands, and the caller what only it tells", async () => {
    const { first, address } = await startOne();
    first.mock.prependFixture({
      match: { predicate: (request) => request["zz_canary"] === "🦡" },
      response: { content: "seen", systemFingerprint: "fp_wombat" },
    });
    const { candidates, extension } = await ask(name, mode, address, { text: "x", extension: { zz_canary: "🦡" } });
    expect(candidates[0]?.text).toBe("seen");
    expect(extension).toMatchObject({ system_fingerprint: "fp_wombat" });
  });

  test("refuses a prompt as too long, and the caller is told so", async () => {
    const { first, address } = await startOne();
    const error = { message: "Too many wombats.", type: "invalid_request_error", code: "context_length_exceeded" };
    first.mock.prependFixture({ match: { userMessage: /./s }, response: { status: 400, error } });
    const failure = await failureOf(send(openWire(name, address), mode, { text: "x" }));
    expect(failure.status).toBe(name === "REST" ? 400 : "InvalidArgument");
    expect(failure.reason.toLowerCase()).toBe("context_length_exceeded");
    expect(failure.message).toContain("Too many wombats.");
  });

  test.each([
    { title: "drops requests", chaos: { dropRate: 1 }, outcome: "transient_fault", httpStatus: 500 },
    { title: "answers nonsense", chaos: { malformedRate: 1 }, outcome: "transient_fault", httpStatus: 200 },
    { title: "hangs up", chaos: { disconnectRate: 1 }, outcome: "transient_fault", httpStatus: 0 },
    { title: "is at its limit", chaos: { rateLimitRate: 1 }, outcome: "rate_limited", httpStatus: 429 },
  ])("$title, and the next one answers unseen", async ({ chaos, outcome, httpStatus }) => {
    const { first, address } = await startTwo();
    first.mock.setChaos(chaos);
    const told = await send(openWire(name, address), mode, { text: "x" });
    expect(told.text).toBe("I am the second.");
    const { attempts = [] } = told.trail ?? {};
    expect(attempts[0]).toMatchObject({ provider: "first", outcome, httpStatus });
    expect(attempts.at(-1)).toMatchObject({ provider: "second", outcome: "ok", httpStatus: 200 });
    expect(attempts.map(({ provider }) => provider).indexOf("second")).toBe(attempts.length - 1);
  });

  test("is left alone for as long as it has asked when it is at its limit, and no longer", async () => {
    const { first, address } = await startTwo();
    const error = { message: "Too many at once.", type: "rate_limit_error" };
    first.mock.prependFixture({ match: { userMessage: /./s }, response: { status: 429, error, retryAfter: 30 } });
    const wire = openWire(name, address);
    await send(wire, mode, { text: "x" });
    const { trail, details } = await send(wire, mode, { text: "y" });
    expect(trail?.skips).toEqual(["first/first-model rate_limited 1"]);
    expect(trail?.attempts.map(({ provider }) => provider)).toEqual(["second"]);
    // Beside these thirty seconds it says that nothing is left of its limits, and that they come back in six minutes.
    const rest = (details?.skips[0]?.untilTimeMs ?? 0) - Date.now();
    expect(rest).toBeGreaterThan(0);
    expect(rest).toBeLessThan(60_000);
    expect(first.mock.getRequests()).toHaveLength(1);
  });

  test("is asked with the next key when it refuses one, which is not used again", async () => {
    const first = await startAimock({ auth: { apiKeys: [right] } });
    first.mock.onMessage(/./s, { content: text });
    const tap = await openTap(first.address);
    const gateway = await startGateway(poolConfig({ first: tap }, { first: { keys: [wrong, right] } }));
    const wire = openWire(name, gateway.address);
    for (const each of ["one", "two", "three"]) {
      expect((await send(wire, mode, { text: each })).text).toBe(text);
    }
    const outcomes = gateway.trails.flatMap(({ attempts }) => attempts.map(({ outcome }) => outcome));
    expect(outcomes.toSorted()).toEqual(["key_refused", "ok", "ok", "ok"]);
    expect(tap.asked().split(wrong).length - 1).toBe(1);
  });

  test("is passed over when it refuses every key, and the caller never sees its 401", async () => {
    const { address } = await startTwo({ auth: { apiKeys: [right] } }, [wrong]);
    const wire = openWire(name, address);
    const { text: said, trail } = await send(wire, mode, { text: "x" });
    expect(said).toBe("I am the second.");
    expect(trail?.attempts[0]).toMatchObject({ provider: "first", outcome: "key_refused", httpStatus: 401 });
    expect((await send(wire, mode, { text: "y" })).trail?.skips).toEqual(["first/first-model no_key 1"]);
  });

  test("is the caller's last, and its wrong keys are no 401 either", async () => {
    const first = await startAimock({ auth: { apiKeys: [right] } });
    const { address } = await startGateway(poolConfig({ first }, { first: { keys: [wrong] } }));
    const failure = await failureOf(send(openWire(name, address), mode, { text: "x" }));
    expect(failure.status).toBe(name === "REST" ? 502 : "Unavailable");
    expect(failure.message).not.toContain(wrong);
  });
});

describe.each(wireNames)("aimock, streaming by %s,", (name) => {
  test("keeps its connection open after [DONE], and the answer has ended by then", async () => {
    const first = await startAimock();
    first.mock.onMessage(/./s, { content: text });
    const tap = await openTap(first.address);
    const { address } = await startGateway(poolConfig({ first: tap }));
    const { candidates } = await ask(name, "stream", address, { text: "x" });
    expect(candidates[0]?.text).toBe(text);
    expect(tap.said()).toContain("data: [DONE]");
    expect(tap.open).toBe(1);
  });

  test("breaks off in the middle, which is told and never taken for the whole", async () => {
    const first = await startAimock();
    first.mock.onMessage(/./s, { content: text }, { truncateAfterChunks: 3, ...paced });
    const second = await startAimock();
    second.mock.onMessage(/./s, { content: "I am the second." });
    const { address, trails } = await startGateway(poolConfig({ first, second }));
    const reason = ask(name, "stream", address, { text: "x" }).then(() => "it ended well", reasonOf);
    expect(await reason).toBe("stream_interrupted");
    expect(trails[0]?.attempts).toMatchObject([{ endpoint: "first/first-model", outcome: "transient_fault" }]);
  });

  test("breaks off in the middle, and goes on at the next one where that says the same", async () => {
    const first = await startAimock();
    first.mock.onMessage(/./s, { content: text }, { truncateAfterChunks: 5, ...paced });
    const second = await startAimock();
    second.mock.onMessage(/./s, { content: text });
    const { address } = await startGateway(poolConfig({ first, second }));
    const hops: string[] = [];
    const told = await openWire(name, address).stream(
      { text: "x", recovery: "continue" },
      { onHop: ({ case: kind, value }) => hops.push(`${kind} ${value.provider}`) },
    );
    expect(told.text).toBe(text);
    expect(hops).toEqual(["resumed second"]);
  });
});

test("what aimock sends comes as it was sent, event by event", async () => {
  const first = await startAimock({ chunkSize: 5 });
  first.mock.onMessage(/./s, { content: text });
  const tap = await openTap(first.address);
  const { address } = await startGateway(poolConfig({ first: tap }));
  const messages = [{ role: "user", content: "x" }];
  const response = await postChat(address, {
    model: "think",
    messages,
    stream: true,
    stream_options: { include_usage: true },
  });
  const heard: string[] = [];
  for await (const event of readSse(response)) heard.push(event);
  const sent = [...tap.said().matchAll(/^data: (.*)$/gm)].map(([, data]) => data);
  expect(heard).toEqual(sent);
  expect(heard.length).toBeGreaterThan(8);
});
