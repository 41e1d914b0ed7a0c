import type { Violation } from "../../chat/fault.ts";
import { checkBody } from "./check-body.ts";
import type { JsonObject } from "./json.ts";

const routing = "it is a caller's word to the gateway, and no endpoint's";

/** What a configuration cannot set in the requests to endpoints, and why. */
const refused: Readonly<Record<string, string>> = {
  model: "the model that an endpoint is asked for stands beside its provider",
  messages: "what is asked is the caller's",
  n: "how many answers are wanted is the caller's to say",
  stream_options: "streams are asked what they cost anyway, and the caller is told if it asks",
  provider: routing,
  fallback_providers: routing,
  timeout: routing,
  retry_count: routing,
  task: routing,
};

/**
 * Parameters as a configuration has them, with numbers and switches read from texts where only those may stand: the environment has
 * nothing but texts.
 */
export function readParams(params: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(params).map(([name, value]) => [name, readValue(name, value)]));
}

function readValue(name: string, value: unknown): unknown {
  if (typeof value !== "string" || complaint(name, value) === undefined) return value;
  const isJson = /^(true|false|-?\d{1,15}(\.\d{1,15})?)$/.test(value);
  const read: unknown = isJson ? JSON.parse(value) : value;
  return complaint(name, read) === undefined ? read : value;
}

/**
 * Checks parameters that a configuration sets in requests: names that are not its to set, and values that no caller may send either.
 * @param mayStream whether `stream` may be among them
 * @returns every violation, with the parameter's name
 */
export function checkParams(params: JsonObject, mayStream: boolean): Violation[] {
  const violations = Object.entries(params).flatMap(([field, value]) => {
    const why =
      field === "stream" && !mayStream ? "whether an endpoint streams is said of the endpoint" : ownOf(refused, field);
    const description = why === undefined ? complaint(field, value) : `expected no ${field} here: ${why}`;
    return description === undefined ? [] : [{ field, description }];
  });
  if ("max_tokens" in params && "max_completion_tokens" in params) {
    const description = "expected either max_tokens or max_completion_tokens: they are one limit";
    violations.push({ field: "max_completion_tokens", description });
  }
  return violations;
}

/** What a value is expected to be that it is not. */
function complaint(name: string, value: unknown): string | undefined {
  const found = checkBody({ messages: [{}], [name]: value }).find(({ field }) => field === name);
  return found?.description.replace(/, got .*$/s, "");
}

function ownOf(table: Readonly<Record<string, string>>, name: string): string | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}
