import { describe, expect, test } from "vitest";
import { createFold, StreamGrammarError } from "../../src/chat/fold.ts";
import { type CompletionEvent, CompletionEventSchema, create } from "../../src/chat/messages.ts";

type Kind = NonNullable<Parameters<typeof create<typeof CompletionEventSchema>>[1]>["kind"];
const event = (kind: Kind): CompletionEvent => create(CompletionEventSchema, { kind } as { kind: NonNullable<Kind> });

const start = event({ case: "start", value: { id: "c", model: "m", provider: "p" } });
const partStart = (candidateIndex: number, partIndex: number) =>
  event({ case: "partStart", value: { candidateIndex, partIndex, head: { kind: { case: "text", value: "" } } } });
const text = (candidateIndex: number, partIndex: number, value: string) =>
  event({ case: "partDelta", value: { candidateIndex, partIndex, delta: { case: "text", value } } });
const partEnd = (candidateIndex: number, partIndex: number, signature = new Uint8Array()) =>
  event({ case: "partEnd", value: { candidateIndex, partIndex, signature } });
const candidateEnd = (candidateIndex: number) =>
  event({ case: "candidateEnd", value: { candidateIndex, extensionJson: { a: "1" } } });
const end = event({ case: "end", value: { usage: { inputTokens: 1, outputTokens: 2 }, extensionJson: { b: "2" } } });

function fold(...events: CompletionEvent[]) {
  const folded = createFold();
  for (const each of events) folded.push(each);
  return folded;
}

describe("folding a stream", () => {
  test("appends deltas to heads, whichever order candidates and parts come in", () => {
    const { completion, ended } = fold(
      start,
      partStart(1, 0),
      partStart(0, 0),
      text(1, 0, "one"),
      text(0, 0, "ze"),
      text(0, 0, "ro"),
      partEnd(1, 0, new Uint8Array([7])),
      partEnd(0, 0),
      candidateEnd(0),
      candidateEnd(1),
      end,
    );
    expect(ended).toBe(true);
    expect(completion.candidates.map(({ index, message }) => [index, message?.parts[0]?.kind.value])).toEqual([
      [0, "zero"],
      [1, "one"],
    ]);
    expect(completion.candidates[1]?.message?.parts[0]?.signature).toEqual(new Uint8Array([7]));
    expect(completion).toMatchObject({ id: "c", usage: { outputTokens: 2 }, extensionJson: { b: "2" } });
  });

  test("passes over kinds of a later version", () => {
    expect(() => fold(start, create(CompletionEventSchema), end)).not.toThrow();
  });

  test.each<[string, CompletionEvent[]]>([
    ["anything before start", [partStart(0, 0)]],
    ["a second start", [start, start]],
    ["a part out of turn", [start, partStart(0, 1)]],
    ["a delta of a part that is not open", [start, text(0, 0, "x")]],
    [
      "a delta of another kind",
      [start, partStart(0, 0), event({ case: "partDelta", value: { delta: { case: "refusal", value: "x" } } })],
    ],
    ["a candidate's end with open parts", [start, partStart(0, 0), candidateEnd(0)]],
    ["anything of a candidate after its end", [start, candidateEnd(0), partStart(0, 0)]],
    ["an end before every candidate's", [start, partStart(0, 0), partEnd(0, 0), end]],
    ["anything after the end", [start, end, end]],
  ])("refuses %s", (_, events) => {
    expect(() => fold(...events)).toThrow(StreamGrammarError);
  });
});
