import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { poolConfig, startGateway, startProviders } from "../support/gateway.ts";
import { postChat, readAll } from "../support/rest.ts";
import { failureOf, type Mode, openWire, send, wireNames } from "../support/wires.ts";
import { type Answer, ask } from "./question.ts";
import { cutNames, cuts, startReplay } from "./replay.ts";

// Answers shaped as three servers were seen to shape theirs, which are too large to be run here: head, framing, members and their
// order are theirs, the words are ours.
const folder = join(import.meta.dirname, "recorded");
const read = (file: string) => readFileSync(join(folder, `${file}.http`));

/** An answer, and what callers must have of it. */
interface RecordedAnswer {
  readonly file: string;
  readonly mode: Mode;
  /** How many candidates are asked for. */
  readonly wanted?: number;
  /** Text and finish reason of each candidate; unspecified where the server forgets it. */
  readonly candidates: readonly (readonly [text: string, finish: string])[];
  readonly usage?: readonly [input: number, output: number];
  /** What is kept of that which only this server tells. */
  readonly extension?: Readonly<Record<string, unknown>>;
}

const vllm = { system_fingerprint: "vllm-0.0.0-wombat" };
const litellm = { system_fingerprint: "b0-wombat" };
const answers: readonly RecordedAnswer[] = [
  {
    file: "vllm/answer",
    mode: "unary",
    candidates: [["A wombat\u0014 d\ufffdgs 巷 café", "length"]],
    usage: [9, 7],
    extension: vllm,
  },
  {
    file: "vllm/two-answers",
    mode: "unary",
    wanted: 2,
    candidates: [
      ["one\ufffd wombat", "length"],
      [" two wömbats", "length"],
    ],
    usage: [9, 14],
    extension: vllm,
  },
  { file: "vllm/stopped", mode: "unary", candidates: [["It digs", "stop"]], usage: [9, 3], extension: vllm },
  {
    file: "vllm/log-probabilities",
    mode: "unary",
    candidates: [[" dig\u0012 deep", "length"]],
    usage: [9, 3],
    extension: vllm,
  },
  { file: "vllm/stream", mode: "stream", candidates: [["A wombat\ufffd dïgs 巷\u0014 🦡", "length"]], extension: vllm },
  {
    file: "vllm/stream-usage",
    mode: "stream",
    candidates: [["It sleeps\u0004 by day", "length"]],
    usage: [9, 6],
    extension: vllm,
  },
  {
    file: "vllm/stream-two-answers",
    mode: "stream",
    wanted: 2,
    candidates: [
      ["one wömbat", "length"],
      [" two wombats", "length"],
    ],
    extension: vllm,
  },
  { file: "vllm/stream-log-probabilities", mode: "stream", candidates: [[" dig déep", "length"]], extension: vllm },
  { file: "vllm/stream-tool-call", mode: "stream", candidates: [["", "length"]], extension: vllm },
  { file: "transformers/answer", mode: "unary", candidates: [["A wömbat \ufffd digs", "length"]], usage: [9, 6] },
  { file: "transformers/stream", mode: "stream", candidates: [["A wömbat! 🦡", "length"]], usage: [9, 5] },
  {
    file: "transformers/stream-one-of-two",
    mode: "stream",
    wanted: 2,
    candidates: [["only one", "stop"]],
    usage: [9, 2],
  },
  {
    file: "litellm/answer",
    mode: "unary",
    candidates: [["A wömbat\u0016 digs", "length"]],
    usage: [9, 5],
    extension: { ...litellm, timings: { cache_n: 8, prompt_n: 1, prompt_ms: 0.25, predicted_n: 5, predicted_ms: 1.5 } },
  },
  { file: "litellm/stream", mode: "stream", candidates: [["A wöm\ufffdbat 巷", "length"]], extension: litellm },
  {
    file: "litellm/stream-usage",
    mode: "stream",
    candidates: [["A wöm\ufffdbat 巷", "length"]],
    usage: [9, 5],
    extension: litellm,
  },
  {
    file: "litellm/stream-two-answers",
    mode: "stream",
    wanted: 2,
    candidates: [
      ["one wömbat", "length"],
      [" two wombats", "unspecified"],
    ],
    extension: litellm,
  },
];

/** A refusal or a failure, and what becomes of it. */
interface RecordedFailure {
  readonly file: string;
  /** In the trail. */
  readonly outcome: string;
  /** What the caller is told where nobody else would take it either; else it is the next provider's turn. */
  readonly told?: {
    readonly reason: "invalid_request" | "context_length_exceeded";
    readonly fields: readonly string[];
    readonly says: string;
  };
}

const failures: readonly RecordedFailure[] = [
  { file: "vllm/bad-key", outcome: "key_refused" },
  {
    file: "vllm/bad-type",
    outcome: "request_refused",
    told: { reason: "invalid_request", fields: ["body.seed"], says: "A whole number was wanted" },
  },
  {
    file: "vllm/out-of-range",
    outcome: "request_refused",
    told: { reason: "invalid_request", fields: ["top_p"], says: "got 7.5" },
  },
  {
    file: "vllm/empty-conversation",
    outcome: "request_refused",
    told: { reason: "invalid_request", fields: [], says: "fits no template" },
  },
  {
    file: "vllm/no-images",
    outcome: "request_refused",
    told: { reason: "invalid_request", fields: [], says: "not a multimodal model" },
  },
  {
    file: "vllm/too-long",
    outcome: "request_refused",
    told: { reason: "context_length_exceeded", fields: ["input_tokens"], says: "77 tokens" },
  },
  { file: "vllm/unknown-model", outcome: "model_unavailable" },
  { file: "vllm/wrong-path", outcome: "misconfigured" },
  { file: "vllm/wrong-method", outcome: "misconfigured" },
  {
    file: "transformers/bad-json",
    outcome: "request_refused",
    told: { reason: "invalid_request", fields: ["31"], says: "This is no JSON" },
  },
  {
    file: "transformers/extra-field",
    outcome: "request_refused",
    told: { reason: "invalid_request", fields: [], says: "burrow_depth" },
  },
  { file: "transformers/failure", outcome: "transient_fault" },
  { file: "transformers/unknown-model", outcome: "model_unavailable" },
  { file: "transformers/wrong-path", outcome: "misconfigured" },
  { file: "transformers/wrong-method", outcome: "misconfigured" },
  {
    file: "litellm/bad-json",
    outcome: "request_refused",
    told: { reason: "invalid_request", fields: ["request_body"], says: "bitten it off" },
  },
  { file: "litellm/bad-key", outcome: "key_refused" },
  {
    file: "litellm/no-messages",
    outcome: "request_refused",
    told: { reason: "invalid_request", fields: ["messages"], says: "Missing required parameter" },
  },
  {
    file: "litellm/too-long",
    outcome: "request_refused",
    told: { reason: "context_length_exceeded", fields: [], says: "77 fit" },
  },
  { file: "litellm/unknown-model", outcome: "model_unavailable" },
  { file: "litellm/wrong-path", outcome: "misconfigured" },
];

test("every recorded answer is expected to be something", () => {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".http"));
  expect(files.map((file) => file.replace(".http", "")).toSorted()).toEqual(
    [...answers, ...failures].map(({ file }) => file).toSorted(),
  );
});

describe.each(answers)("$file, $mode,", ({ file, mode, wanted, candidates, usage, extension = {} }) => {
  describe.each(cutNames)("%s,", (cut) => {
    test("comes over REST as the server sent it", async () => {
      const first = await startReplay(read(file), cuts[cut]);
      const { address, trails } = await startGateway(poolConfig({ first }));
      const messages = [{ role: "user", content: "What does a wombat do?" }];
      const response = await postChat(address, {
        model: "think",
        messages,
        ...(wanted && { n: wanted }),
        ...(mode === "stream" && { stream: true, stream_options: { include_usage: true } }),
      });
      expect(response.status).toBe(200);
      const sent = read(file).toString();
      if (mode === "unary") {
        const { provider, latency_ms: _, ...rest } = (await response.json()) as Record<string, unknown>;
        expect(provider).toBe("first");
        expect(rest).toEqual(JSON.parse(sent.slice(sent.indexOf("\r\n\r\n"))));
      } else {
        const events = [...sent.matchAll(/^data: (.*)$/gm)].map(([, data = ""]) => data);
        expect(await readAll(response)).toEqual([...events.filter((data) => data !== "[DONE]"), "[DONE]"]);
      }
      expect(trails.map(({ attempts }) => attempts.map(({ outcome }) => outcome))).toEqual([["ok"]]);
      expect(first.seen.length).toBe(1);
    });

    test("comes over gRPC with all its words", async () => {
      const first = await startReplay(read(file), cuts[cut]);
      const { address } = await startGateway(poolConfig({ first }));
      const question = { text: "What does a wombat do?", ...(wanted && { candidates: wanted }) };
      const answer: Answer = await ask("gRPC", mode, address, question);
      expect(answer.candidates.map(({ text, finish }) => [text, finish])).toEqual(candidates);
      expect(answer.usage).toEqual(usage && { input: usage[0], output: usage[1] });
      expect(answer.extension).toMatchObject(extension);
    });
  });
});

test("arguments that are no object are passed on as they are", async () => {
  const first = await startReplay(read("vllm/stream-tool-call"));
  const { address } = await startGateway(poolConfig({ first }));
  const { candidates } = await ask("gRPC", "stream", address, { text: "Dig!" });
  expect(candidates[0]?.calls).toEqual([
    { id: "chatcmpl-tool-04d1b2c87fe69a35", name: "dig", argumentsJson: "9876543210" },
  ]);
});

describe.each(failures)("$file", ({ file, outcome, told }) => {
  describe.each(wireNames)("over %s", (name) => {
    test.each([
      ["unary", "in one piece"],
      ["stream", "byte by byte"],
    ] as const)("is taken for what it is, %s, when it comes %s", async (mode, cut) => {
      const first = await startReplay(read(file), cuts[cut]);
      const providers = await startProviders({ second: {} });
      const { address, trails } = await startGateway(poolConfig({ first, ...providers }), providers);
      const call = send(openWire(name, address), mode, { text: "Who answers?" });
      if (told) {
        const failure = await failureOf(call);
        expect(failure.status).toBe(name === "REST" ? 400 : "InvalidArgument");
        // Over RPC a refusal has another word than a request that the gateway itself finds wrong.
        const reason = failure.reason.toLowerCase().replace("refused_by_provider", "invalid_request");
        expect(reason).toBe(told.reason);
        expect(failure.message).toContain(told.says);
        if (name === "REST") expect(failure.fields).toEqual(told.fields);
      } else {
        expect((await call).provider).toBe("second");
      }
      expect(trails[0]?.attempts[0]).toMatchObject({ endpoint: "first/first-model", outcome });
      expect(providers.second.seen.length).toBe(told ? 0 : 1);
    });
  });
});
