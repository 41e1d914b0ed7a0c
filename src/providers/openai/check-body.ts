import {
  maxFallbackProviders,
  maxModelLength,
  maxStopSequences,
  outside,
  type Range,
  ranges,
  shown,
} from "../../chat/check.ts";
import type { Violation } from "../../chat/fault.ts";
import { type JsonObject, objectOf } from "./json.ts";

const numbers: readonly (readonly [string, Range])[] = Object.entries({
  temperature: ranges.temperature,
  top_p: ranges.topP,
  top_k: { ...ranges.topK, min: -1 }, // vLLM's way to say "all"
  presence_penalty: ranges.penalty,
  frequency_penalty: ranges.penalty,
  max_tokens: ranges.maxOutputTokens,
  max_completion_tokens: ranges.maxOutputTokens,
  n: ranges.candidateCount,
  top_logprobs: ranges.topLogprobs,
  retry_count: ranges.retryCount,
});

/**
 * Checks an OpenAI chat body before any upstream is called: ranges and types of what the API publishes, never roles, parts or
 * other sets that a vendor may extend. A null counts as absent, as it does there.
 * @returns every violation, with the member's name; none when the body may go
 */
export function checkBody(body: JsonObject): Violation[] {
  const violations: Violation[] = [];
  const expect = (field: string, fits: boolean, expected: string) => {
    const value = body[field];
    if (value !== undefined && value !== null && !fits) {
      violations.push({ field, description: `expected ${expected}, got ${shown(value)}` });
    }
  };
  const { messages, stop, timeout, provider, fallback_providers: fallbacks } = body;

  if (!Array.isArray(messages)) {
    violations.push({ field: "messages", description: `expected a list of messages, got ${shown(messages)}` });
  } else if (messages.length === 0 || messages.length > 10_000) {
    violations.push({ field: "messages", description: `expected 1 to 10000 messages, got ${messages.length}` });
  } else if (messages.some((message) => !objectOf(message))) {
    violations.push({ field: "messages", description: "expected every message to be an object" });
  }
  for (const [field, range] of numbers) {
    const value = body[field];
    const problem = value === undefined || value === null ? undefined : outside(value, range);
    if (problem) violations.push({ field, description: problem });
  }
  const { model } = body;
  expect(
    "model",
    typeof model === "string" && model.length <= maxModelLength,
    "a model's name of at most 256 characters",
  );
  expect("stream", typeof body["stream"] === "boolean", "true or false");
  expect("stream_options", objectOf(body["stream_options"]) !== undefined, "an object");
  expect("logprobs", typeof body["logprobs"] === "boolean", "true or false");
  expect("seed", typeof body["seed"] === "number" && Number.isInteger(body["seed"]), "a whole number");
  expect("tools", Array.isArray(body["tools"]) && body["tools"].length <= 10_000, "a list of tools");
  expect(
    "stop",
    typeof stop === "string" || isTexts(stop, maxStopSequences),
    `a text or a list of at most ${maxStopSequences} texts`,
  );
  const biases = objectOf(body["logit_bias"]);
  const badBias = Object.entries(biases ?? {}).find(([, bias]) => outside(bias, ranges.logitBias) !== undefined);
  expect("logit_bias", biases !== undefined && !badBias, "an object with numbers from -100 to 100");
  expect("timeout", typeof timeout === "number" && timeout > 0, "seconds greater than 0");
  expect("provider", typeof provider === "string" || objectOf(provider) !== undefined, "a provider's name");
  // An object may be a vendor's own.
  const { task } = body;
  expect("task", (typeof task === "string" && task.length <= 64) || objectOf(task) !== undefined, "a task's name");
  expect(
    "fallback_providers",
    isTexts(fallbacks, maxFallbackProviders),
    `a list of at most ${maxFallbackProviders} providers' names`,
  );
  return violations;
}

function isTexts(value: unknown, most: number): boolean {
  return Array.isArray(value) && value.length <= most && value.every((each) => typeof each === "string");
}
