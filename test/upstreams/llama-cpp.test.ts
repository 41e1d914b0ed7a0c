import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type ProviderConfig, poolConfig, startGateway, startProviders } from "../support/gateway.ts";
import { postChat, readSse } from "../support/rest.ts";
import { everywhere, failureOf, modes, openWire, send, wireNames } from "../support/wires.ts";
import { hasLlamaCpp, type LlamaCpp, sentence, startLlamaCpp, startOwnLlamaCpp } from "./llama-cpp.ts";
import { ask } from "./question.ts";
import { reasonOf } from "./reason.ts";
import { openTap } from "./tap.ts";

const right = "sk-test-canary-right-0123456789";
const wrong = "sk-test-canary-wrong-0123456789";

describe.skipIf(!hasLlamaCpp)("llama.cpp's own server behind the gateway", () => {
  let server: LlamaCpp;

  beforeAll(async () => {
    server = await startLlamaCpp({ keys: [right] });
  });

  afterAll(() => server?.stop());

  /** The server behind a gateway, and a line on which all that they say can be heard. */
  async function startPair() {
    const first = await openTap(server.address);
    const gateway = await startGateway(poolConfig({ first }, { first: { keys: [right] } }));
    return { ...gateway, first };
  }

  /** The server as the first choice, with a simulated provider behind it. */
  async function startWithSecond(changes: ProviderConfig) {
    const providers = await startProviders({ second: {} });
    const first = await openTap(server.address);
    const gateway = await startGateway(poolConfig({ first, ...providers }, { first: changes }), providers);
    return { ...gateway, first, providers };
  }

  describe.each(everywhere)("asked by $name, $mode,", ({ name, mode }) => {
    test("answers with its whole text, its usage and what only it tells", async () => {
      const { address, trails } = await startPair();
      const { candidates, usage, extension } = await ask(name, mode, address, { text: "Hello é 🦘" });
      expect(candidates).toEqual([{ text: sentence, calls: [], finish: "stop" }]);
      // The animal is four tokens, of which three are no text; the last one is the end.
      expect(usage).toEqual({ input: expect.any(Number), output: 17 });
      expect(usage?.input).toBeGreaterThan("Hello é".length);
      expect(extension).toMatchObject({
        system_fingerprint: expect.any(String),
        timings: { predicted_n: 17, predicted_ms: expect.any(Number) },
      });
      expect(trails.map(({ attempts }) => attempts.map(({ outcome }) => outcome))).toEqual([["ok"]]);
    });

    test("gives both of two answers", async () => {
      const { address } = await startPair();
      const { candidates } = await ask(name, mode, address, { text: "Twice, please", candidates: 2 });
      expect(candidates).toEqual([
        { text: sentence, calls: [], finish: "stop" },
        { text: sentence, calls: [], finish: "stop" },
      ]);
    });

    test("stops at the caller's words, and at the caller's limit", async () => {
      const { address } = await startPair();
      const stopped = await ask(name, mode, address, { text: "Stop", stops: [" legs", " never"] });
      expect(stopped.candidates).toEqual([{ text: "Kangaroos hop on two", calls: [], finish: "stop" }]);
      const cut = await ask(name, mode, address, { text: "Be short", maxTokens: 3 });
      expect(cut.candidates).toEqual([{ text: "Kangaroos hop on", calls: [], finish: "length" }]);
      expect(cut.usage?.output).toBe(3);
    });

    test("never lets half a character through", async () => {
      const { address } = await startPair();
      // The limit falls between the bytes of the animal.
      const { candidates } = await ask(name, mode, address, { text: "Be short", maxTokens: 8 });
      expect(candidates[0]?.finish).toBe("length");
      expect(candidates[0]?.text).toMatch(/^Kangaroos hop on two legs \ufffd?$/);
    });

    test("calls a function, and answers when it is told the result", async () => {
      const { address } = await startPair();
      const parameters = { type: "object", properties: { city: { enum: ["Perth"] } }, required: ["city"] };
      const tool = { name: "weather", parameters };
      const { candidates } = await ask(name, mode, address, { text: "How warm is it?", tool, maxTokens: 200 });
      expect(candidates).toEqual([
        {
          text: "",
          calls: [
            { id: expect.stringMatching(/\w/), name: "weather", argumentsJson: expect.stringContaining("Perth") },
          ],
          finish: "tool_calls",
        },
      ]);
      const argumentsJson = candidates[0]?.calls[0]?.argumentsJson ?? "";
      expect(JSON.parse(argumentsJson)).toEqual({ city: "Perth" });
      const told = await ask(name, mode, address, {
        text: "How warm is it?",
        tool,
        toolResult: { argumentsJson, text: "20 °C" },
      });
      expect(told.candidates).toEqual([{ text: sentence, calls: [], finish: "stop" }]);
    });

    test("answers in the shape of a JSON schema", async () => {
      const { address } = await startPair();
      const { candidates } = await ask(name, mode, address, {
        text: "In JSON",
        maxTokens: 200,
        schema: {
          type: "object",
          properties: { jumps: { type: "boolean" }, animal: { enum: ["kangaroo 🦘"] } },
          required: ["jumps", "animal"],
          additionalProperties: false,
        },
      });
      expect(JSON.parse(candidates[0]?.text ?? "")).toEqual({ jumps: expect.any(Boolean), animal: "kangaroo 🦘" });
      expect(candidates[0]?.finish).toBe("stop");
    });

    test("is told what only it understands", async () => {
      const { address } = await startPair();
      const question = { text: "Go on", maxTokens: 40, extension: { ignore_eos: true } };
      const { candidates, usage } = await ask(name, mode, address, question);
      expect(candidates[0]?.finish).toBe("length");
      expect(candidates[0]?.text.startsWith(sentence)).toBe(true);
      expect(usage?.output).toBe(40);
    });

    test("refuses a prompt that is too long for it, and the caller is told so", async () => {
      const { address, trails } = await startPair();
      const failure = await failureOf(send(openWire(name, address), mode, { text: "x".repeat(600) }));
      expect(failure.status).toBe(name === "REST" ? 400 : "InvalidArgument");
      expect(failure.reason).toBe(name === "REST" ? "context_length_exceeded" : "CONTEXT_LENGTH_EXCEEDED");
      expect(failure.message).toContain("512 tokens");
      expect(trails[0]?.attempts.map(({ outcome }) => outcome)).toEqual(["request_refused"]);
    });

    test("refuses a prompt that is too long for it, and one with a larger window takes it", async () => {
      const { address } = await startWithSecond({
        keys: [right],
        models: [{ id: "first-model", context_window: 512 }],
      });
      const { address: wider } = await startWider();
      expect((await send(openWire(name, wider), mode, { text: "x".repeat(600) })).provider).toBe("second");
      // Nobody else says that its window is larger.
      await failureOf(send(openWire(name, address), mode, { text: "x".repeat(600) }));
    });

    test("is asked with the next key when it refuses one, which is not used again", async () => {
      const { address, first, trails } = await startWithSecond({ keys: [wrong, right] });
      const wire = openWire(name, address);
      for (const text of ["one", "two", "three"]) expect((await send(wire, mode, { text })).text).toBe(sentence);
      const outcomes = trails.map(({ attempts }) => attempts.map(({ outcome }) => outcome));
      expect(outcomes.flat().toSorted()).toEqual(["key_refused", "ok", "ok", "ok"]);
      expect(first.asked().split(wrong).length - 1).toBe(1);
    });

    test("is passed over when it refuses every key, and the caller never sees its 401", async () => {
      const { address, first, trails } = await startWithSecond({ keys: [wrong] });
      const wire = openWire(name, address);
      const { provider, trail } = await send(wire, mode, { text: "one" });
      expect(provider).toBe("second");
      expect(trail?.attempts).toMatchObject([
        { provider: "first", outcome: "key_refused", httpStatus: 401 },
        { provider: "second", outcome: "ok", httpStatus: 200 },
      ]);
      const again = await send(wire, mode, { text: "two" });
      expect(again.trail?.skips).toEqual(["first/first-model no_key 1"]);
      expect(trails[1]?.attempts.map(({ endpoint }) => endpoint)).toEqual(["second/second-model"]);
      expect(first.asked().split(wrong).length - 1).toBe(1);
    });
  });

  async function startWider() {
    const providers = await startProviders({ second: {} });
    const first = await openTap(server.address);
    const window = (tokens: number, name: string) => ({ models: [{ id: `${name}-model`, context_window: tokens }] });
    return startGateway(
      poolConfig({ first, ...providers }, { first: { keys: [right] }, second: window(4096, "second") }),
      providers,
    );
  }

  test("answers a model that it does not know, for it has only one", async () => {
    const { address, first } = await startPair();
    const response = await postChat(address, { model: "think", messages: [{ role: "user", content: "x" }] });
    expect(await response.json()).toMatchObject({ model: "kangaroo", provider: "first" });
    expect(first.asked()).toContain('"model":"first-model"');
  });

  test.each(modes)("refuses a picture, which it cannot see, with a 500 that is no failure of its, %s", async (mode) => {
    const { address, trails } = await startPair();
    const content = [{ type: "image_url", image_url: { url: "data:image/png;base64,iVBORw0KGgo=" } }];
    const body = { model: "think", messages: [{ role: "user", content }], stream: mode === "stream" };
    const response = await postChat(address, body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: "invalid_request" } });
    // A stream is asked for once more without what the gateway has added to it.
    const refusal = { outcome: "request_refused", httpStatus: 500 };
    expect(trails[0]?.attempts).toMatchObject(mode === "unary" ? [refusal] : [refusal, refusal]);
  });

  test("passes health checks with its list of models", async () => {
    const first = await openTap(server.address);
    await startGateway(
      poolConfig({ first }, { first: { keys: [right], health_check: { interval: "100ms", timeout: "5s" } } }),
    );
    await expect.poll(() => first.said()).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*"object":"list"/);
    expect(first.asked()).toContain("GET /v1/models ");
  });
});

describe.skipIf(!hasLlamaCpp)("llama.cpp's own server with a single slot", () => {
  test("answers everybody who asks at once, one after the other, and no breaker opens", async () => {
    const server = await startOwnLlamaCpp({ slots: 1 });
    const { address, trails, breakers } = await startGateway(poolConfig({ first: server }));
    const calls = everywhere.map(({ name, mode }) =>
      ask(name, mode, address, { text: "All at once", maxTokens: 300, extension: { ignore_eos: true } }),
    );
    const answers = await Promise.all(calls);
    for (const { candidates } of answers) expect(candidates[0]?.text.startsWith(sentence)).toBe(true);
    expect(answers.map(({ usage }) => usage?.output)).toEqual(everywhere.map(() => 300));
    expect(trails.map(({ attempts }) => attempts.map(({ outcome }) => outcome))).toEqual(everywhere.map(() => ["ok"]));
    expect(breakers).toEqual([]);
  });

  test("is busy, not dead, when it says nothing to those who wait: others answer them, and no breaker opens", async () => {
    const server = await startOwnLlamaCpp({ slots: 1 });
    const providers = await startProviders({ second: {} });
    const { address, breakers } = await startGateway(
      poolConfig({ first: server, ...providers }, { first: { timeouts: { first_token: "500ms" } } }),
      providers,
    );
    const leaving = new AbortController();
    onTestFinished(() => leaving.abort());
    const occupant = await postChat(
      address,
      { model: "think", messages: [{ role: "user", content: "For ever" }], stream: true, ignore_eos: true },
      { signal: leaving.signal },
    );
    const heard = readSse(occupant);
    await heard.next();
    const listening = (async () => {
      for await (const _ of heard); // goes on until it is left
    })().catch((error: Error) => error.name);
    const waiting = await Promise.all(
      [...wireNames, ...wireNames].map((name) => openWire(name, address).stream({ text: "When is it my turn?" })),
    );
    for (const { provider, trail } of waiting) {
      expect(provider).toBe("second");
      expect(trail?.attempts[0]).toMatchObject({ provider: "first", outcome: "transient_fault", httpStatus: 0 });
    }
    expect(breakers).toEqual([]);
    leaving.abort();
    expect(await listening).toBe("AbortError");
    // It is still the first that is asked.
    const { trail } = await openWire("REST", address).stream({ text: "And now?" });
    expect(trail).toMatchObject({ attempts: [{ provider: "first" }], skips: [] });
  });
});

describe.skipIf(!hasLlamaCpp)("llama.cpp's own server, when its process", () => {
  test("is frozen, is found out: others answer, and its breaker opens", async () => {
    const server = await startOwnLlamaCpp({});
    const providers = await startProviders({ second: {} });
    const { address, breakers } = await startGateway(
      poolConfig({ first: server, ...providers }, { first: { timeouts: { first_token: "200ms", total: "200ms" } } }),
      providers,
    );
    server.freeze();
    // Once will do, but on a machine that stands still itself, whose late timers are held against nobody.
    while (breakers.length === 0) {
      const answers = await Promise.all(
        everywhere.map(({ name, mode }) => send(openWire(name, address), mode, { text: "x" })),
      );
      expect(answers.map(({ provider }) => provider)).toEqual(everywhere.map(() => "second"));
    }
    expect(breakers).toEqual(["first/first-model open"]);
  });

  test.each(wireNames)(
    "dies in the middle of an answer by %s, breaks the answer visibly, and is not missed",
    async (name) => {
      const server = await startOwnLlamaCpp({ slots: 1 });
      const first = await openTap(server.address);
      const providers = await startProviders({ second: {} });
      const { address, trails } = await startGateway(poolConfig({ first, ...providers }), providers);
      const reason = ask(name, "stream", address, { text: "For ever", extension: { ignore_eos: true } }).then(
        () => "it ended well",
        reasonOf,
      );
      await expect.poll(() => first.said().length).toBeGreaterThan(50_000);
      server.stop();
      expect(await reason).toBe("stream_interrupted");
      expect(trails[0]?.attempts).toMatchObject([{ endpoint: "first/first-model", outcome: "transient_fault" }]);
      const { provider } = await openWire(name, address).stream({ text: "Who is left?" });
      expect(provider).toBe("second");
    },
  );
});
