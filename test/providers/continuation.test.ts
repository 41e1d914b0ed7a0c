import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FaultError } from "../../src/chat/fault.ts";
import { createFold } from "../../src/chat/fold.ts";
import { type CompletionEvent, create, PromptSchema } from "../../src/chat/messages.ts";
import type { Lane, StreamReader } from "../../src/providers/lane.ts";
import { Continuation, mayPrefill } from "../../src/providers/openai/continuation.ts";
import { parseJson } from "../../src/providers/openai/json.ts";
import { nativeLane } from "../../src/providers/openai/native-lane.ts";
import { typedLane } from "../../src/providers/openai/typed-lane.ts";
import { SseDecoder } from "../../src/providers/sse.ts";
import { testTarget } from "./target.ts";

/** Characters that break where others do not: pairs, marks that combine, line ends, control characters, halves of pairs. */
const odd = fc.constantFrom(
  ...[
    "a",
    "b",
    "c",
    " ",
    "\n",
    "\r\n",
    "\0",
    "🦘",
    "é",
    "e\u0301",
    "👩‍👩‍👧",
    "\ud83d",
    "\udc4d",
    "\ufeff",
    "\u2028",
    '"',
    "\\",
    "data: ",
  ],
);
const oddTexts = fc.array(odd, { minLength: 1, maxLength: 60 }).map((parts) => parts.join(""));
/** Texts that say the same over and over. */
const periodicTexts = fc
  .tuple(fc.array(odd, { minLength: 1, maxLength: 12 }), fc.integer({ min: 1, max: 12 }))
  .map(([parts, times]) => parts.join("").repeat(times));
const sentences = Array.from({ length: 60 }, (_, index) => `word${index}`).join(" ");
const texts = fc.oneof(oddTexts, periodicTexts, fc.constant(sentences));

/** Cuts something into pieces at some of its places. */
function pieces<T extends { length: number; slice(from: number, to?: number): T }>(
  whole: T,
  cuts: readonly number[],
): T[] {
  const places = [...new Set(cuts.map((cut) => (whole.length === 0 ? 0 : cut % whole.length)))].sort((a, b) => a - b);
  const ends = [...places, whole.length];
  return ends
    .map((end, index) => whole.slice(index === 0 ? 0 : (ends[index - 1] ?? 0), end))
    .filter(({ length }) => length > 0);
}

const someCuts = fc.array(fc.nat(10_000), { maxLength: 40 });

/** How a server puts its stream. */
interface Manner {
  readonly cuts: readonly number[];
  readonly role: boolean;
  readonly empties: boolean;
  readonly usageInAll: boolean;
  readonly finishWithContent: boolean;
  readonly lateDelta: boolean;
  readonly newIds: boolean;
  readonly comments: boolean;
  readonly lists: boolean;
  readonly nulls: boolean;
  readonly thinks: boolean;
  readonly done: boolean;
  readonly crlf: boolean;
}

const manners: fc.Arbitrary<Manner> = fc.record({
  cuts: someCuts,
  role: fc.boolean(),
  empties: fc.boolean(),
  usageInAll: fc.boolean(),
  finishWithContent: fc.boolean(),
  lateDelta: fc.boolean(),
  newIds: fc.boolean(),
  comments: fc.boolean(),
  lists: fc.boolean(),
  nulls: fc.boolean(),
  thinks: fc.boolean(),
  done: fc.boolean(),
  crlf: fc.boolean(),
});
const plainManner: Manner = {
  cuts: [],
  role: true,
  empties: false,
  usageInAll: false,
  finishWithContent: false,
  lateDelta: false,
  newIds: false,
  comments: false,
  lists: false,
  nulls: false,
  thinks: false,
  done: true,
  crlf: false,
};

const event = (data: unknown) => `data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;
const head = (id = "c1") => ({ id, object: "chat.completion.chunk", created: 1_795_000_000, model: "tiny" });
const chunk = (delta: object | undefined, more: object = {}, finish: string | null = null) =>
  event({ ...head(), choices: [{ index: 0, delta, finish_reason: finish }], ...more });
const usage = { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 };

/** The bytes of a whole stream that says a text. */
function stream(text: string, manner: Manner): Buffer {
  let said = "";
  let number = 0;
  const say = (delta: object, finish: string | null = null) => {
    number += 1;
    const id = manner.newIds ? `c${number}` : "c1";
    const counted = manner.usageInAll && { usage };
    said += event({ ...head(id), choices: [{ index: 0, delta, finish_reason: finish }], ...counted });
    if (manner.comments) said += ": ping\n\n";
    if (manner.empties) said += event({ ...head(id), choices: [] });
  };
  const content = (value: string) => (manner.lists ? [{ type: "text", text: value }] : value);
  const nulls = manner.nulls ? { role: null, tool_calls: null, refusal: null, reasoning: null } : {};
  if (manner.role) say({ role: "assistant", content: manner.nulls ? null : "" });
  if (manner.thinks) say({ ...nulls, reasoning_content: "hm" });
  const parts = pieces(text, manner.cuts);
  const late = manner.lateDelta ? parts.pop() : undefined;
  const last = manner.finishWithContent ? parts.pop() : undefined;
  for (const part of parts) {
    if (manner.empties) say({ ...nulls, content: "" });
    say({ ...nulls, content: content(part) });
  }
  say(last === undefined ? {} : { ...nulls, content: content(last) }, "stop");
  if (late !== undefined) say({ content: content(late) });
  said += event({ ...head(), choices: [], usage });
  if (manner.done) said += event("[DONE]");
  return Buffer.from(manner.crlf ? said.replaceAll("\n", "\r\n") : said);
}

const request = { model: "m", messages: [{ role: "user", content: "tell me" }], stream: true };
const native = (changes: object = {}) => {
  const json = { ...request, ...changes };
  return nativeLane({ text: JSON.stringify(json), json });
};
const typed = () =>
  typedLane(
    create(PromptSchema, {
      model: "m",
      messages: [{ role: 2, parts: [{ kind: { case: "text", value: "tell me" } }] }],
    }),
  );

/** What a caller has in the end. */
interface Got {
  readonly text: string;
  /** The stream came to a clean end. */
  readonly clean: boolean;
  /** Why it did not. */
  readonly why: string | undefined;
  /** What the caller had when the first stream broke; undefined: it did not go on. */
  readonly before: string | undefined;
  readonly prefilled: boolean;
  readonly anew: boolean;
}

/** Reads what one lane gives, strictly. */
interface Caller<Item> {
  take(items: readonly Item[]): void;
  text(): string;
  whole(): boolean;
}

function typedCaller(): Caller<CompletionEvent> & { readonly fold: ReturnType<typeof createFold> } {
  const fold = createFold();
  return {
    fold,
    take: (items) => {
      for (const item of items) fold.push(item);
    },
    text: () =>
      (fold.completion.candidates[0]?.message?.parts ?? [])
        .map(({ kind }) => (kind.case === "text" ? kind.value : ""))
        .join(""),
    whole: () => fold.ended,
  };
}

function nativeCaller(): Caller<Buffer> & { readonly chunks: Record<string, unknown>[] } {
  const chunks: Record<string, unknown>[] = [];
  const decoder = new SseDecoder();
  let text = "";
  let unread = 0;
  return {
    chunks,
    take(items) {
      for (const item of items) {
        const { events, bytes } = decoder.push(item);
        unread = bytes.length - (events.at(-1)?.end ?? 0);
        for (const { data } of events) {
          if (data === undefined || data === "[DONE]") continue;
          const parsed = parseJson(data) as {
            choices: { index: number; delta?: { content?: string | { text: string }[] | null } }[];
          };
          chunks.push(parsed);
          for (const { delta } of parsed.choices) {
            const content = delta?.content ?? "";
            text += typeof content === "string" ? content : content.map((part) => part.text).join("");
          }
        }
      }
      // Whatever must be said next must not land inside of an event.
      expect(unread).toBe(0);
    },
    text: () => text,
    whole: () => true,
  };
}

/** Reads a stream to its end, as the engine does. @returns why it broke */
function readAll<Item>(reader: StreamReader<Item>, reads: readonly Buffer[], caller: Caller<Item>, ends: boolean) {
  try {
    let finished = false;
    for (const bytes of reads) {
      const read = reader.push(bytes);
      caller.take(read.items);
      if (read.fault) return read.fault.kind;
      if (read.done) return undefined;
      finished = read.finished;
    }
    // A cut after every finish reason is an end, too.
    if (!ends && !finished) return "cut";
    const read = reader.end();
    caller.take(read.items);
    return read.fault?.kind;
  } catch (error) {
    if (error instanceof FaultError)
      return error.fault.kind === "diverged" && error.fault.anew ? "anew" : error.fault.kind;
    throw error;
  }
}

/** A stream that breaks, and what another endpoint says to its beginning. */
function goOn<Item>(
  lane: Lane<unknown, Item>,
  caller: Caller<Item>,
  {
    first,
    second,
    prefill = "none",
    firstEnds = false,
  }: {
    readonly first: readonly Buffer[];
    readonly second: (given: string | undefined, before: string) => readonly Buffer[];
    readonly prefill?: "none" | "assistant";
    readonly firstEnds?: boolean;
  },
): Got {
  const target = testTarget({ id: "q/m", provider: "q", prefill });
  const reader = lane.reader(testTarget(), "continue");
  const nothing = { before: undefined, prefilled: false };
  const broke = readAll(reader, first, caller, firstEnds);
  if (broke === undefined) return { text: caller.text(), clean: true, why: undefined, anew: false, ...nothing };
  const before = caller.text();
  const recovery = reader.recovery();
  if (typeof recovery !== "object") return { text: before, clean: false, why: broke, anew: false, ...nothing };
  const asked = recovery.request(target, { usage: true, prefill: true });
  const messages = (JSON.parse(String(asked.body)) as { messages: { role: string; content: string }[] }).messages;
  const given = asked.prefilled ? messages.at(-1)?.content : undefined;
  const why = readAll(recovery.reader(target, asked, 2), second(given, before), caller, true);
  return {
    text: caller.text(),
    clean: why === undefined && caller.whole(),
    why,
    before,
    prefilled: asked.prefilled ?? false,
    anew: why === "anew",
  };
}

const lanes = [
  ["typed", (_: object, told: Parameters<typeof goOn>[2]) => goOn(typed(), typedCaller(), told)],
  ["native", (changes: object, told: Parameters<typeof goOn>[2]) => goOn(native(changes), nativeCaller(), told)],
] as const;

describe.each(lanes)("over the %s lane", (name, run) => {
  /** A contract of UTF-8 holds no half of a pair. */
  const isFit = (text: string) => name === "native" || text.isWellFormed();

  test("wherever a stream breaks and however both are put, the caller has the text once, and to its end", () => {
    fc.assert(
      fc.property(
        texts,
        manners,
        manners,
        fc.nat(100_000),
        someCuts,
        someCuts,
        (text, one, other, cut, reads, others) => {
          fc.pre(isFit(text));
          const whole = stream(text, one);
          const first = pieces(whole.subarray(0, cut % (whole.length + 1)), reads);
          const got = run({}, { first, second: () => pieces(stream(text, other), others) });
          if (got.before === undefined) {
            // Nothing to go on with: nothing was said yet, it was whole already, or something other than text was said.
            if (got.clean && !one.lateDelta) expect(got.text).toBe(text);
            else expect(text.startsWith(got.text)).toBe(true);
            return;
          }
          const early = other.lateDelta && !got.clean;
          if (!early) expect(got).toMatchObject({ text, clean: true });
          else expect(text.startsWith(got.text)).toBe(true);
        },
      ),
      { numRuns: 400 },
    );
  });

  test("another answer never follows: what the caller has is the first one's beginning, and an error", () => {
    fc.assert(
      fc.property(texts, texts, manners, fc.nat(100_000), someCuts, (text, another, manner, cut, reads) => {
        fc.pre(isFit(text) && isFit(another));
        const whole = stream(text, plainManner);
        const first = pieces(whole.subarray(0, cut % whole.length), reads);
        const got = run({}, { first, second: () => pieces(stream(another, { ...manner, lateDelta: false }), reads) });
        if (got.before === undefined) return;
        if (another.startsWith(got.before)) expect(got).toMatchObject({ text: another, clean: true });
        else expect(got).toMatchObject({ text: got.before, clean: false, why: "diverged" });
      }),
      { numRuns: 400 },
    );
  });

  test("an endpoint that goes on with the text is told from one that begins anew, in any pieces", () => {
    let given = 0;
    fc.assert(
      fc.property(texts, manners, fc.nat(100_000), someCuts, fc.boolean(), (text, manner, cut, reads, anew) => {
        fc.pre(isFit(text));
        const long = `a beginning of its own, ${text}, ${sentences}`;
        const whole = stream(long, { ...plainManner, cuts: reads });
        const first = pieces(whole.subarray(0, cut % whole.length), reads);
        const got = run(
          {},
          {
            first,
            prefill: "assistant",
            second(prefix) {
              if (prefix !== undefined) given += 1;
              if (prefix !== undefined) expect(long.startsWith(prefix)).toBe(true);
              const says = anew || prefix === undefined ? long : long.slice(prefix.length);
              return pieces(stream(says, { ...manner, lateDelta: false }), reads);
            },
          },
        );
        if (got.before === undefined) return;
        // Whoever begins like the text may be answering anew, or saying a refrain: it is asked again without the text.
        if (got.prefilled && anew) expect(got).toMatchObject({ text: got.before, clean: false, why: "anew" });
        // One that was given the whole of it cannot say whether it is.
        else if (got.before === long && got.prefilled) expect(got).toMatchObject({ text: long, why: "diverged" });
        else expect(got).toMatchObject({ text: long, clean: true });
      }),
      { numRuns: 400 },
    );
    expect(given).toBeGreaterThan(50);
  });

  test("a broken answer has no clean end, wherever the second one is cut, too", () => {
    fc.assert(
      fc.property(texts, manners, fc.nat(100_000), fc.nat(100_000), someCuts, (text, manner, cut, another, reads) => {
        fc.pre(isFit(text));
        const whole = stream(text, plainManner);
        const first = pieces(whole.subarray(0, cut % whole.length), reads);
        const rest = stream(text, { ...manner, lateDelta: false });
        const got = run({}, { first, second: () => pieces(rest.subarray(0, another % rest.length), reads) });
        expect(text.startsWith(got.text)).toBe(true);
        if (got.clean) expect(got.text).toBe(text);
      }),
      { numRuns: 400 },
    );
  });
});

/** A text of a few dozen characters that says nothing twice. */
const beginning = "Once upon a time there was a gateway that";
const rest = " lived between two providers.";

/** The first stream says the beginning and is cut; the other says something to it. */
function broken(
  run: (typeof lanes)[number][1],
  second: string | Buffer,
  {
    text = beginning,
    prefill = "assistant",
    changes = {},
    first = chunk({ content: text }),
  }: {
    readonly text?: string;
    readonly prefill?: "none" | "assistant";
    readonly changes?: object;
    readonly first?: string;
  } = {},
) {
  let given: string | undefined;
  const got = run(changes, {
    first: [Buffer.from(first)],
    prefill,
    second(prefix) {
      given = prefix;
      return [typeof second === "string" ? stream(second, plainManner) : second];
    },
  });
  return { ...got, given };
}

describe.each(lanes)("an endpoint that is given a text, over the %s lane,", (_, run) => {
  test("goes on with it", () => {
    expect(broken(run, rest)).toMatchObject({ text: beginning + rest, clean: true, given: beginning });
  });

  // It is taken for an answer from the start, and what was said a second time is lost.
  test("and says the same again because the text does so is not taken for one that answers anew", () => {
    const refrain = "我们明天再见，后天也要再见，大后天还要再见，永远都要再见。";
    const got = broken(run, refrain.repeat(2), { text: refrain });
    expect(got).toMatchObject({ given: refrain });
    if (got.clean) expect(got.text).toBe(refrain.repeat(3));
    else expect(got.text).toBe(refrain);
  });

  test("and answers anew after other blanks than the first one is found out, not glued on", () => {
    for (const blanks of [" ", "\n\n", "\ufeff"]) {
      const got = broken(run, `${blanks}${beginning}${rest}`);
      expect(got).toMatchObject({ text: beginning, clean: false, why: "anew", given: beginning });
    }
    const got = broken(run, beginning + rest, { text: ` ${beginning}` });
    expect(got).toMatchObject({ text: ` ${beginning}`, clean: false, why: "anew" });
  });

  test("is not given one that ends with a blank: many a template cuts it off, and then it would be said twice", () => {
    for (const blank of [" ", "\n", "\t", "\u00a0"]) {
      const text = beginning + blank;
      const got = broken(run, text + rest.trimStart(), { text });
      expect(got).toMatchObject({ text: text + rest.trimStart(), clean: true, given: undefined });
    }
  });

  test("may say little before it ends, but not nothing: it may have taken half of an answer for a whole one", () => {
    for (const second of [".", "Once upon", "\n\nOnce"]) {
      expect(broken(run, second)).toMatchObject({ text: beginning + second, clean: true, given: beginning });
    }
    for (const second of ["", "\n"]) {
      expect(broken(run, second)).toMatchObject({ text: beginning, clean: false, why: "diverged", given: beginning });
    }
  });

  test("may call a tool at once", () => {
    const call = { tool_calls: [{ index: 0, id: "t", type: "function", function: { name: "f", arguments: "{}" } }] };
    const second = Buffer.from(
      chunk({ role: "assistant" }) + chunk(call) + chunk({}, {}, "tool_calls") + event("[DONE]"),
    );
    expect(broken(run, second)).toMatchObject({ text: beginning, clean: true });
    // One that was to say the text again has not said it.
    expect(broken(run, second, { prefill: "none" })).toMatchObject({ clean: false, why: "diverged" });
  });
});

describe.each(lanes)("what comes only from the second endpoint, over the %s lane,", (_, run) => {
  const textThen = (...chunks: string[]) => Buffer.from([chunk({ content: beginning }), ...chunks].join(""));
  const finish = chunk({}, {}, "stop") + event("[DONE]");

  test("stands behind the text: a refusal, a tool call, more text", () => {
    const call = { tool_calls: [{ index: 0, id: "t", type: "function", function: { name: "f", arguments: "{}" } }] };
    for (const more of [chunk({ refusal: "no" }), chunk(call), chunk({ content: null }) + chunk({ content: "" })]) {
      expect(broken(run, textThen(more, finish), { prefill: "none" })).toMatchObject({
        text: beginning,
        clean: true,
      });
    }
  });

  test("is another answer when it comes before the text is there", () => {
    const second = Buffer.from(chunk({ content: "Once" }) + chunk({ refusal: "no" }) + finish);
    expect(broken(run, second, { prefill: "none" })).toMatchObject({
      text: beginning,
      clean: false,
      why: "diverged",
    });
  });

  test("is left out when it is thought, and when it is a second answer", () => {
    const second = textThen(
      chunk({ reasoning_content: "hm" }),
      event({ ...head(), choices: [{ index: 1, delta: { content: "another" }, finish_reason: null }] }),
      chunk({ reasoning: "hm", content: rest }),
      finish,
    );
    expect(broken(run, second, { prefill: "none" })).toMatchObject({ text: beginning + rest, clean: true });
  });

  test("an end without a finish reason is none unless the server says that it is", () => {
    const cut = broken(run, textThen(chunk({ content: rest })), { prefill: "none" });
    expect(cut).toMatchObject({ text: beginning + rest, clean: false, why: "truncated" });
    const said = broken(run, textThen(chunk({ content: rest }), event("[DONE]")), { prefill: "none" });
    expect(said).toMatchObject({ text: beginning + rest, clean: true });
    const early = broken(run, Buffer.from(chunk({ content: "Once" }) + event("[DONE]")), { prefill: "none" });
    expect(early).toMatchObject({ text: beginning, clean: false, why: "diverged" });
  });
});

describe.each(lanes)("what is no plain text is not gone on with, over the %s lane:", (_, run) => {
  test.each([
    ["a part of a list that is no text", { content: [{ type: "image_url", image_url: { url: "data:," } }] }],
    ["thinking as a part of a list", { content: [{ type: "thinking", thinking: [{ type: "text", text: "hm" }] }] }],
    ["sound", { audio: { id: "a" } }],
    ["a refusal", { refusal: "no" }],
    ["a call of the old kind", { function_call: { name: "f", arguments: "" } }],
  ])("%s", (__, delta) => {
    const first = chunk({ content: beginning }) + chunk(delta);
    expect(broken(run, beginning + rest, { first })).toMatchObject({ before: undefined, clean: false });
  });

  test("a text whose end has been told, whatever comes after it", () => {
    const first = `${chunk({ content: beginning }, {}, "stop")}data: rubbish\n\n`;
    expect(broken(run, beginning + rest, { first })).toMatchObject({
      before: undefined,
      clean: false,
      why: "malformed",
    });
  });
});

describe("a request over the native lane", () => {
  const [, [, run]] = lanes;

  test.each([
    ["guided_json", { type: "object" }],
    ["guided_regex", "a+"],
    ["guided_choice", ["a", "b"]],
    ["guided_grammar", "root ::= x"],
    ["structured_outputs", { json: {} }],
    ["grammar", "root ::= x"],
    ["json_schema", {}],
    ["regex", "a+"],
    ["ebnf", "root ::= x"],
  ])("that binds the answer to a shape in a server's own words (%s) is no free text", (name, value) => {
    expect(broken(run, rest, { changes: { [name]: value } })).toMatchObject({ before: undefined, clean: false });
    expect(broken(run, rest, { changes: { [name]: null } })).toMatchObject({ clean: true });
  });

  test("whose last message is the assistant's already is asked anew: two of them are no beginning", () => {
    const messages = [...request.messages, { role: "assistant", content: "I say: " }];
    const got = broken(run, beginning + rest, { changes: { messages } });
    expect(got).toMatchObject({ text: beginning + rest, clean: true, given: undefined, prefilled: false });
  });

  test("whose limit on tokens is reached is asked anew, for there is nothing left to ask for", () => {
    for (const name of ["max_tokens", "max_completion_tokens"]) {
      expect(broken(run, rest, { changes: { [name]: 2 } })).toMatchObject({ clean: true, given: beginning });
      const got = broken(run, beginning, { changes: { [name]: 1 } });
      expect(got).toMatchObject({ text: beginning, clean: true, given: undefined });
    }
  });

  test("keeps the id, the time and the model that the content began with, whatever came before it", () => {
    const caller = nativeCaller();
    const filters = event({ id: "", object: "", created: 0, model: "", choices: [], prompt_filter_results: [] });
    goOn(native(), caller, {
      first: [Buffer.from(filters + chunk({ content: beginning }))],
      second: () => [stream(beginning + rest, { ...plainManner, newIds: true, cuts: [5, 50] })],
    });
    const heads = caller.chunks.filter(({ id }) => id !== "").map(({ id, created, model }) => ({ id, created, model }));
    expect(heads.length).toBeGreaterThan(3);
    expect(new Set(heads.map((each) => JSON.stringify(each))).size).toBe(1);
  });

  test("has one note of the hop and, if it was asked for, what both cost", () => {
    for (const asks of [true, false]) {
      const caller = nativeCaller();
      goOn(native(asks ? { stream_options: { include_usage: true } } : {}), caller, {
        first: [Buffer.from(chunk({ content: beginning }, { usage: { prompt_tokens: 5, completion_tokens: 9 } }))],
        second: () => [stream(beginning + rest, { ...plainManner, cuts: [5, 50], empties: true })],
      });
      const notes = caller.chunks.filter((each) => "resumed" in each);
      expect(notes.map((each) => JSON.stringify(each["choices"]))).toEqual([expect.stringContaining('"stop"')]);
      const told = caller.chunks.slice(1).filter(({ usage: counts }) => counts);
      expect(told.map(({ usage: counts }) => counts)).toEqual(
        asks ? [{ prompt_tokens: 10, completion_tokens: 16, total_tokens: 26 }] : [],
      );
    }
  });
});

describe("a typed stream that went on", () => {
  const ended = (first: object, second: object) => {
    const caller = typedCaller();
    const content = chunk({ content: beginning }, { usage: first });
    goOn(typed(), caller, {
      first: [Buffer.from(content)],
      second: () => [
        Buffer.from(
          chunk({ content: beginning }) + chunk({}, {}, "stop") + event({ ...head(), choices: [], usage: second }),
        ),
        Buffer.from(event("[DONE]")),
      ],
    });
    expect(caller.whole()).toBe(true);
    return caller.fold.completion.usage;
  };

  test("has what both cost, and calls it an estimate only if it is one", () => {
    expect(ended(usage, usage)).toMatchObject({ inputTokens: 10, outputTokens: 14, estimated: false });
    expect(ended({}, usage)).toMatchObject({ estimated: true });
  });

  test("has a number that its contract can hold, whatever the servers count", () => {
    const most = { prompt_tokens: 2 ** 31 - 1, completion_tokens: 2 ** 31 - 1 };
    expect(ended(most, most)).toMatchObject({ inputTokens: 2 ** 31 - 1, outputTokens: 2 ** 31 - 1 });
  });
});

describe("what comes back of a text that is said again", () => {
  test("is what is new, in whatever pieces it comes; nothing comes back of another text", () => {
    fc.assert(
      fc.property(texts, texts, someCuts, fc.nat(1000), (text, another, cuts, cut) => {
        const delivered = text.slice(0, 1 + (cut % text.length));
        const said = pieces(another.length % 2 === 0 ? another : text, cuts);
        const whole = said.join("");
        const continuation = new Continuation(delivered, false);
        let fresh = "";
        const read = () => {
          for (const piece of said) fresh += continuation.push(piece);
          fresh += continuation.end();
        };
        if (whole.startsWith(delivered)) read();
        else expect(read).toThrow(FaultError);
        expect(delivered + fresh).toBe(whole.startsWith(delivered) ? whole : delivered);
      }),
    );
  });

  test("a long text in many pieces costs no more than its length", () => {
    const piece = "token ";
    const count = 200_000;
    const delivered = piece.repeat(count);
    const continuation = new Continuation(delivered, false);
    const began = performance.now();
    for (let index = 0; index < count; index++) expect(continuation.push(piece) === "").toBe(true);
    expect(continuation.push("more")).toBe("more");
    // Were each piece compared with all that came before it, this would take minutes.
    expect(performance.now() - began).toBeLessThan(10_000);
  });

  test("only a text that says nothing of its beginning again may be given to be gone on with", () => {
    expect(mayPrefill(beginning)).toBe(true);
    expect(mayPrefill(beginning.slice(0, 23))).toBe(false);
    expect(mayPrefill(`${" ".repeat(30)}short`)).toBe(false);
    expect(mayPrefill(`${beginning}, ${beginning}`)).toBe(false);
    expect(mayPrefill(`${beginning}\ud83d`)).toBe(false);
    expect(mayPrefill(`${beginning}\n`)).toBe(false);
  });
});
