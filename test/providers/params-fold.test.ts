import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createFold } from "../../src/chat/fold.ts";
import { create, PromptSchema } from "../../src/chat/messages.ts";
import { ChunkFold } from "../../src/providers/openai/chunk-fold.ts";
import { streamOf } from "../../src/providers/openai/chunk-unfold.ts";
import { nativeLane } from "../../src/providers/openai/native-lane.ts";
import { typedLane } from "../../src/providers/openai/typed-lane.ts";
import type { Json } from "../support/rest.ts";
import { testTarget } from "./target.ts";

const word = fc.string({ unit: "grapheme", maxLength: 12 });
const said = fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 });
const token = fc.record({ token: word, logprob: fc.double({ noNaN: true, max: 0 }), top_logprobs: fc.constant([]) });
const call = fc.record({
  id: fc.uuid(),
  type: fc.constant("function"),
  function: fc.record({ name: said, arguments: fc.json().filter((text) => text !== '""') }),
});
/** Names of the vendor's own, so none that the API knows. */
const own = (value: fc.Arbitrary<unknown>) =>
  fc.dictionary(
    fc.string({ minLength: 1, maxLength: 6 }).map((name) => `x_${name}`),
    value,
    { maxKeys: 3 },
  );
const message = fc
  .record(
    {
      role: fc.constant("assistant"),
      content: fc.option(said, { nil: null }),
      refusal: fc.option(said, { nil: null }),
      reasoning_content: said,
      tool_calls: fc.uniqueArray(call, { minLength: 1, maxLength: 3, selector: ({ id }) => id }),
    },
    { requiredKeys: ["role", "content"] },
  )
  .chain((known) => own(said).map((others) => ({ ...known, ...others })));
const choice = fc
  .record(
    {
      message,
      logprobs: fc.option(fc.record({ content: fc.array(token, { maxLength: 5 }), refusal: fc.constant(null) }), {
        nil: null,
      }),
      finish_reason: fc.constantFrom("stop", "length", "tool_calls"),
    },
    { requiredKeys: ["message", "finish_reason"] },
  )
  .chain((known) => own(fc.oneof(fc.integer(), said, fc.boolean())).map((others) => ({ ...known, ...others })));
const counts = fc.record({ prompt_tokens: fc.nat(), completion_tokens: fc.nat(), total_tokens: fc.nat() });
const answer = fc
  .record(
    {
      id: said,
      object: fc.constant("chat.completion"),
      created: fc.nat(),
      model: said,
      choices: fc.array(choice, { minLength: 1, maxLength: 3 }),
      usage: counts,
    },
    { requiredKeys: ["id", "object", "created", "model", "choices"] },
  )
  .chain((known) => own(fc.jsonValue()).map((others) => ({ ...known, ...others })))
  .map((json) => {
    const choices = json.choices.map((each, index) => ({ index, ...each }));
    return JSON.parse(JSON.stringify({ ...json, choices })) as Json & { choices: Json[] };
  });

/** Cuts a text or a list, at places that chance names. */
function cut<T extends string | readonly unknown[]>(whole: T, places: readonly number[]): T[] {
  const ends = [...new Set(places.map((place) => place % (whole.length + 1)))].sort((a, b) => a - b);
  return [0, ...ends].map((start, index) => whole.slice(start, ends[index] ?? whole.length) as T);
}

/** A whole answer's chunks as a server might send them: everything in pieces, candidates in turns. */
function chunksOf(
  { choices, usage, ...whole }: Awaited<Json & { choices: Json[] }>,
  places: readonly number[],
): Json[] {
  const head = { ...whole, object: "chat.completion.chunk" };
  const queues = choices.map(({ index, message: all, logprobs, finish_reason: finish, ...others }) => {
    const { role, tool_calls: calls, ...texts } = all as Json & { tool_calls?: Json[] };
    const deltas: Json[] = [{ delta: { role, content: null }, ...(logprobs !== undefined && { logprobs: null }) }];
    for (const [name, text] of Object.entries(texts)) {
      if (typeof text !== "string") deltas.push({ delta: { [name]: text } });
      else for (const piece of cut(text, places)) deltas.push({ delta: { [name]: piece } });
    }
    for (const [at, each] of (calls ?? []).entries()) {
      const { function: named, ...identity } = each as Json & { function: { name: string; arguments: string } };
      const begun = { index: at, ...identity, function: { name: named.name, arguments: "" } };
      deltas.push({ delta: { tool_calls: [begun] } });
      for (const piece of cut(named.arguments, places)) {
        deltas.push({ delta: { tool_calls: [{ index: at, function: { arguments: piece } }] } });
      }
    }
    const tokens = (logprobs as { content: Json[] } | null | undefined)?.content;
    for (const content of tokens ? cut(tokens, places) : [])
      deltas.push({ delta: {}, logprobs: { content, refusal: null } });
    deltas.push({ delta: {}, ...others, finish_reason: finish });
    return deltas.map((each) => ({ finish_reason: null, ...each, index }));
  });
  const chunks: Json[] = [];
  for (let left = queues; left.length > 0; left = queues.filter((queue) => queue.length > 0)) {
    const next = left[(places[chunks.length % places.length] ?? 0) % left.length]?.shift();
    if (next) chunks.push({ ...head, choices: [next], usage: null });
  }
  if (usage !== undefined) chunks.push({ ...head, choices: [], usage });
  return chunks;
}

function folded(chunks: readonly Json[]): unknown {
  const fold = new ChunkFold();
  for (const chunk of chunks) fold.take(JSON.parse(JSON.stringify(chunk)) as Json);
  return fold.answer();
}

/** What the native lane's fold and reader make of a stream. */
function nativeAnswer(body: Json, stream: Buffer) {
  const fold = nativeLane({ text: JSON.stringify(body), json: body }).fold(testTarget());
  const meaning = fold.push(stream);
  return { ...fold.value(), meaning };
}

const places = fc.array(fc.nat(1000), { minLength: 1, maxLength: 8 });

describe("a whole answer and the stream that its server might have sent", () => {
  test("are one and the same: folding the chunks gives the answer, however it was cut into them", () => {
    fc.assert(
      fc.property(answer, places, (whole, cuts) => {
        expect(folded(chunksOf(whole, cuts))).toEqual(whole);
      }),
    );
  });

  test("are one and the same: what is unfolded and folded again is what it was", () => {
    fc.assert(
      fc.property(answer, (whole) => {
        const body = { messages: [{}], n: whole.choices.length };
        const { json, text, meaning } = nativeAnswer(body, streamOf(whole));
        expect(json).toEqual(whole);
        expect(JSON.parse(text)).toEqual(whole);
        expect(meaning).toMatchObject({ content: true, finished: true, done: true });
      }),
    );
  });

  test("are one and the same in the contract's words, too", () => {
    fc.assert(
      fc.property(answer, places, (whole, cuts) => {
        // Log probabilities without a token that is said have no part to stand at; a stream's extensions are not joined.
        const choices = whole.choices.map(({ logprobs: _, message: all, ...others }) => {
          const known = Object.entries(all as Json).filter(([name]) => !name.startsWith("x_"));
          return { ...others, message: Object.fromEntries(known) };
        });
        const json = { ...whole, choices };
        const lane = typedLane(create(PromptSchema, { candidateCount: choices.length }));
        const target = testTarget();
        const http = { status: 200, headers: {}, body: Buffer.from(JSON.stringify(json)) };
        const { value } = lane.answer(target, http);
        const events = lane.reader(target).push(lane.streamed(target, http));
        const fold = createFold();
        for (const event of events.items) fold.push(event);
        expect(fold.completion).toEqual(value);
        expect(fold.ended).toBe(true);

        // Parts stand in the order in which they begin, so texts come before the calls here as they do there.
        const chunks = chunksOf(json, cuts);
        const gathered = lane.fold(target);
        const bytes = [...chunks.map((chunk) => JSON.stringify(chunk)), "[DONE]"].map((data) => `data: ${data}\n\n`);
        const read = gathered.push(Buffer.from(bytes.join("")));
        expect(read.done).toBe(true);
        const byKind = (completion: typeof value) =>
          completion.candidates.map(({ message: { parts = [] } = {}, ...others }) => ({
            ...others,
            parts: parts.toSorted((a, b) => String(a.kind.case).localeCompare(String(b.kind.case))),
          }));
        expect(byKind(gathered.value())).toEqual(byKind(value));
      }),
    );
  });

  test("a megabyte in one event is read like any other", () => {
    const content = "long ".repeat(500_000);
    const whole = { id: "a", choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }] };
    expect(nativeAnswer({ messages: [{}] }, streamOf(whole)).json).toMatchObject(whole);
  });
});

describe("folding chunks", () => {
  const chunk = (delta: Json, more: Json = {}, top: Json = {}) => ({ ...top, choices: [{ index: 0, delta, ...more }] });
  const messageOf = (...chunks: Json[]) => (folded(chunks) as { choices: { message: unknown }[] }).choices[0]?.message;

  test("joins texts that nobody knows here, and lists and objects of texts", () => {
    expect(
      messageOf(
        chunk({ thoughts: "a", audio: { id: "x", data: "AA" }, details: [{ text: "1" }] }),
        chunk({ thoughts: "b", audio: { id: "x", data: "BB", expires_at: 7 }, details: [{ text: "2" }] }),
      ),
    ).toEqual({
      ...{ role: "assistant", content: null, thoughts: "ab" },
      audio: { id: "x", data: "AABB", expires_at: 7 },
      details: [{ text: "1" }, { text: "2" }],
    });
  });

  test("takes a role that is said again once, and passes over nulls", () => {
    const nulls = { role: null, content: null, tool_calls: null, function_call: null };
    expect(messageOf(chunk({ role: "assistant", content: "a" }), chunk({ role: "assistant" }), chunk(nulls))).toEqual({
      role: "assistant",
      content: "a",
      function_call: null,
    });
  });

  test("makes one list of texts and lists of parts", () => {
    const thinking = { type: "thinking", thinking: [{ type: "text", text: "hm" }] };
    expect(messageOf(chunk({ content: [thinking] }), chunk({ content: "so" }))).toMatchObject({
      content: [thinking, { type: "text", text: "so" }],
    });
    expect(messageOf(chunk({ content: "so" }), chunk({ content: [thinking] }))).toMatchObject({
      content: [{ type: "text", text: "so" }, thinking],
    });
  });

  test("joins an old-fashioned call of a function", () => {
    expect(
      messageOf(
        chunk({ function_call: { name: "f", arguments: "" } }),
        chunk({ function_call: { arguments: '{"a"' } }),
        chunk({ function_call: { arguments: ":1}" } }),
      ),
    ).toMatchObject({ function_call: { name: "f", arguments: '{"a":1}' } });
  });

  test("tells calls apart without indices, and by what a call itself says under one", () => {
    const call = (id: string, name: string, written: string) => ({
      id,
      type: "function",
      function: { name, arguments: written },
    });
    const calls = [call("1", "f", "{}"), call("2", "g", "{}")];
    expect(messageOf(chunk({ tool_calls: calls }))).toMatchObject({ tool_calls: calls });
    const [first, second] = calls;
    expect(
      messageOf(
        chunk({ tool_calls: [{ index: 0, ...first }] }),
        chunk({ tool_calls: [{ index: 0, ...second, extra_content: { signature: "s" } }] }),
      ),
    ).toEqual({
      role: "assistant",
      content: null,
      tool_calls: [first, { ...second, extra_content: { signature: "s" } }],
    });
  });

  test("tells calls apart that have neither indices nor ids, and takes a name that is said again once", () => {
    const call = (name: string, written: string) => ({ function: { name, arguments: written } });
    const pieces = [call("f", '{"a"'), call("f", ":1}"), call("f", ""), call("g", '{"b":2}'), call("g", '{"b":3}')];
    const chunks = pieces.map((piece) => chunk({ tool_calls: [piece] }));
    const expected = [call("f", '{"a":1}'), call("g", '{"b":2}'), call("g", '{"b":3}')];
    expect(messageOf(...chunks)).toMatchObject({ tool_calls: expected });
    const reader = typedLane(create(PromptSchema)).reader(testTarget());
    const fold = createFold();
    const events = [...chunks.map((each) => JSON.stringify(each)), "[DONE]"].map((data) => `data: ${data}\n\n`);
    for (const event of reader.push(Buffer.from(events.join(""))).items) fold.push(event);
    expect(fold.completion.candidates[0]?.message?.parts).toMatchObject(
      expected.map(({ function: { name, arguments: argumentsJson } }) => ({
        kind: { value: { name, argumentsJson } },
      })),
    );
  });

  test("gives of the answer as a whole the first id and the last word, and of lists beside a candidate all", () => {
    expect(
      folded([
        { id: "", choices: [], prompt_filter_results: [1] },
        chunk({ content: "a" }, { token_ids: [1], state: "x" }, { id: "1", model: "m", system_fingerprint: "f1" }),
        chunk(
          { content: "b" },
          { token_ids: [2], state: "y", finish_reason: "stop" },
          { id: "2", system_fingerprint: "f2" },
        ),
        { choices: [], usage: { prompt_tokens: 1 }, system_fingerprint: null },
        // A late word that says nothing of what was said.
        chunk({ content: "" }, { finish_reason: "" }, { usage: null }),
      ]),
    ).toEqual({
      ...{ id: "1", object: "chat.completion", model: "m", system_fingerprint: "f2", prompt_filter_results: [1] },
      choices: [
        {
          ...{ index: 0, message: { role: "assistant", content: "ab" } },
          ...{ token_ids: [1, 2], state: "y", finish_reason: "stop" },
        },
      ],
      usage: { prompt_tokens: 1 },
    });
  });

  test("takes time as the answer grows, not as its square", () => {
    const fold = new ChunkFold();
    const count = 50_000;
    for (let at = 0; at < count; at++) fold.take(chunk({ content: "w", own: { [`name${at}`]: at } }));
    const { choices } = fold.answer() as { choices: { message: { own: Json } }[] };
    expect(Object.keys(choices[0]?.message.own ?? {}).length).toBe(count);
  });

  test("gives up on an answer of more calls than anybody makes", () => {
    const calls = Array.from({ length: 10_001 }, (_, index) => ({
      index,
      id: `call${index}`,
      function: { name: "f" },
    }));
    expect(() => messageOf(...calls.map((call) => chunk({ tool_calls: [call] })))).toThrow("tool calls");
    expect(messageOf(chunk({ tool_calls: calls.slice(1) }))).toMatchObject({ tool_calls: { length: 10_000 } });
  });

  test("joins in the contract's words, too, what only the provider knows", () => {
    const target = testTarget();
    const fold = typedLane(create(PromptSchema)).fold(target);
    const chunks = [chunk({ content: "a", notes: "one " }), chunk({ notes: "two" }, { finish_reason: "stop" })];
    const events = [...chunks.map((each) => JSON.stringify(each)), "[DONE]"].map((data) => `data: ${data}\n\n`);
    expect(fold.push(Buffer.from(events.join("")))).toMatchObject({ content: true, done: true });
    expect(fold.value().candidates[0]?.extensionJson).toEqual({ notes: '"one two"' });
  });

  test("of names that mean something to a machine makes members like any other", () => {
    const text =
      '{"choices":[{"index":0,"delta":{"__proto__":{"polluted":"a"},"x":{"__proto__":{"polluted":"b"}}}}],"__proto__":{}}';
    const fold = new ChunkFold();
    for (const _ of [1, 2]) fold.take(JSON.parse(text) as Json);
    expect(JSON.stringify(fold.answer())).toContain(
      '"__proto__":{"polluted":"aa"},"x":{"__proto__":{"polluted":"bb"}}',
    );
    expect(({} as Json)["polluted"]).toBeUndefined();
  });
});
