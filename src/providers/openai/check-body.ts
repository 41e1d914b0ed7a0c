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

/** Says what is wrong with a member's value; undefined when nothing is. */
type Rule = (value: unknown) => string | undefined;

const within =
  (range: Range): Rule =>
  (value) =>
    outside(value, range);

const fitting =
  (fits: (value: unknown) => boolean, expected: string): Rule =>
  (value) =>
    fits(value) ? undefined : `expected ${expected}, got ${shown(value)}`;

/** What the API publishes a range or a type of, in the order in which violations are told. */
const rules: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ["messages", messagesProblem],
  ["temperature", within(ranges.temperature)],
  ["top_p", within(ranges.topP)],
  ["top_k", within({ ...ranges.topK, min: -1 })], // vLLM's way to say "all"
  ["presence_penalty", within(ranges.penalty)],
  ["frequency_penalty", within(ranges.penalty)],
  ["max_tokens", within(ranges.maxOutputTokens)],
  ["max_completion_tokens", within(ranges.maxOutputTokens)],
  ["n", within(ranges.candidateCount)],
  ["top_logprobs", within(ranges.topLogprobs)],
  ["retry_count", within(ranges.retryCount)],
  ["model", fitting((value) => isText(value, maxModelLength), "a model's name of at most 256 characters")],
  ["stream", fitting((value) => typeof value === "boolean", "true or false")],
  ["stream_options", fitting((value) => objectOf(value) !== undefined, "an object")],
  ["logprobs", fitting((value) => typeof value === "boolean", "true or false")],
  ["seed", fitting((value) => typeof value === "number" && Number.isInteger(value), "a whole number")],
  ["tools", fitting((value) => Array.isArray(value) && value.length <= 10_000, "a list of tools")],
  [
    "stop",
    fitting(
      (value) => typeof value === "string" || isTexts(value, maxStopSequences),
      `a text or a list of at most ${maxStopSequences} texts`,
    ),
  ],
  ["logit_bias", fitting(isBiases, "an object with numbers from -100 to 100")],
  ["timeout", fitting((value) => typeof value === "number" && value > 0, "seconds greater than 0")],
  ["provider", fitting((value) => typeof value === "string" || objectOf(value) !== undefined, "a provider's name")],
  // An object may be a vendor's own.
  ["task", fitting((value) => isText(value, 64) || objectOf(value) !== undefined, "a task's name")],
  [
    "fallback_providers",
    fitting(
      (value) => isTexts(value, maxFallbackProviders),
      `a list of at most ${maxFallbackProviders} providers' names`,
    ),
  ],
]);

const positions: readonly string[] = [...rules.keys()];

/**
 * Checks an OpenAI chat body before any upstream is called: ranges and types of what the API publishes, never roles, parts or
 * other sets that a vendor may extend. A null counts as absent, as it does there.
 * @returns every violation, with the member's name; none when the body may go
 */
export function checkBody(body: JsonObject): Violation[] {
  const violations: Violation[] = [];
  // By what there is: most bodies have three members.
  for (const field in body) {
    const value = body[field];
    const description = value === null || value === undefined ? undefined : rules.get(field)?.(value);
    if (description !== undefined) violations.push({ field, description });
  }
  const { messages = null } = body;
  if (messages === null) violations.push({ field: "messages", description: messagesProblem(body["messages"]) ?? "" });
  if (violations.length < 2) return violations;
  return violations.sort((a, b) => positions.indexOf(a.field) - positions.indexOf(b.field));
}

function messagesProblem(messages: unknown): string | undefined {
  if (!Array.isArray(messages)) return `expected a list of messages, got ${shown(messages)}`;
  if (messages.length === 0 || messages.length > 10_000) return `expected 1 to 10000 messages, got ${messages.length}`;
  return messages.every((message) => objectOf(message)) ? undefined : "expected every message to be an object";
}

function isBiases(value: unknown): boolean {
  const biases = objectOf(value);
  return biases !== undefined && Object.values(biases).every((bias) => outside(bias, ranges.logitBias) === undefined);
}

function isText(value: unknown, longest: number): boolean {
  return typeof value === "string" && value.length <= longest;
}

function isTexts(value: unknown, most: number): boolean {
  return Array.isArray(value) && value.length <= most && value.every((each) => typeof each === "string");
}
