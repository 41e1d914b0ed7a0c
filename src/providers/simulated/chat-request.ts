import type { JsonObject } from "./json.ts";
import { isJsonObject } from "./json.ts";
import { Refusal } from "./refusal.ts";
import { countWords } from "./tokens.ts";

/** A function the model may call. */
export interface FunctionTool {
  name: string;
  /** The JSON schema of its arguments; undefined when it has none. */
  parameters: unknown;
}

/** How the content of the answer must look. */
export type Format = { kind: "text" } | { kind: "json" } | { kind: "schema"; schema: unknown };

/** A chat request, checked, and reduced to what the answer depends on. */
export interface ChatRequest {
  stream: boolean;
  /** Whether a stream ends in an event with the usage. */
  includeUsage: boolean;
  /** How many answers are wanted: OpenAI's `n`. */
  candidates: number;
  stops: string[];
  /** Infinity when there is no limit. */
  maxTokens: number;
  /** How many alternatives per token; undefined when no log probabilities are wanted. */
  alternatives: number | undefined;
  /** The function that is called instead of answering. */
  call: FunctionTool | undefined;
  format: Format;
  reasoning: boolean;
  /** Undefined when there is no message of a user. */
  lastUserText: string | undefined;
  /** What the tool returned, when that is the last message. */
  toolResult: string | undefined;
  /** The text of a last message that is the assistant's. */
  prefix: string | undefined;
  promptTokens: number;
}

const roles = ["system", "developer", "user", "assistant", "tool", "function"];

/**
 * Checks a chat request as a real server does, and reads it.
 * @throws Refusal when it is not one
 */
export function readChatRequest(body: JsonObject): ChatRequest {
  const messages = readMessages(body["messages"]);
  const last = messages.at(-1);
  const toolResult = last?.["role"] === "tool" || last?.["role"] === "function" ? textOf(last["content"]) : undefined;
  const user = messages.findLast((message) => message["role"] === "user");
  const options = isJsonObject(body["stream_options"]) ? body["stream_options"] : undefined;
  const effort = optional(body, "reasoning_effort", isString, "a string");
  optional(body, "temperature", within(0, 2), "a number from 0 to 2");
  optional(body, "top_p", within(0, 1), "a number from 0 to 1");
  return {
    stream: optional(body, "stream", isBoolean, "a boolean") ?? false,
    includeUsage: options?.["include_usage"] === true,
    candidates: optional(body, "n", whole(1, 128), "a whole number from 1 to 128") ?? 1,
    stops: readStops(body["stop"]),
    maxTokens:
      optional(body, "max_completion_tokens", whole(1, Infinity), "a whole number of at least 1") ??
      optional(body, "max_tokens", whole(1, Infinity), "a whole number of at least 1") ??
      Infinity,
    alternatives: readAlternatives(body),
    call: toolResult === undefined ? readCall(body) : undefined,
    format: readFormat(body["response_format"]),
    reasoning: effort !== undefined && effort !== "none",
    lastUserText: user && textOf(user["content"]),
    toolResult,
    prefix: last?.["role"] === "assistant" ? textOf(last["content"]) : undefined,
    promptTokens: messages.reduce((sum, message) => sum + countWords(textOf(message["content"])), 0),
  };
}

function readMessages(messages: unknown): JsonObject[] {
  if (messages === undefined)
    throw new Refusal(400, "Missing required parameter: 'messages'.", {
      param: "messages",
      code: "missing_required_parameter",
    });
  if (!Array.isArray(messages) || messages.length === 0)
    throw new Refusal(400, "'messages' must be a list of at least one message.", { param: "messages" });
  return messages.map((message: unknown, index) => {
    if (!isJsonObject(message))
      throw new Refusal(400, `'messages[${index}]' must be an object.`, { param: `messages[${index}]` });
    if (!roles.some((role) => role === message["role"])) {
      throw new Refusal(400, `'messages[${index}].role' must be one of ${roles.join(", ")}.`, {
        param: `messages[${index}].role`,
      });
    }
    return message;
  });
}

const marks: { readonly [type: string]: string } = { image_url: "[image]", input_audio: "[audio]", file: "[file]" };

/** The text of a message's content: the parts joined by a blank, with a mark for each one that is not text. */
function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content
    .filter(isJsonObject)
    .map((part) =>
      typeof part["text"] === "string" ? part["text"] : (marks[String(part["type"])] ?? `[${String(part["type"])}]`),
    )
    .join(" ");
}

function readStops(stop: unknown): string[] {
  if (stop === undefined || stop === null) return [];
  const stops: unknown[] = Array.isArray(stop) ? stop : [stop];
  if (!stops.every(isString))
    throw new Refusal(400, "'stop' must be a string or a list of strings.", { param: "stop" });
  return stops.filter((text) => text !== "");
}

function readAlternatives(body: JsonObject): number | undefined {
  const wanted = optional(body, "logprobs", isBoolean, "a boolean") ?? false;
  const alternatives = optional(body, "top_logprobs", whole(0, 20), "a whole number from 0 to 20");
  if (!wanted && alternatives !== undefined)
    throw new Refusal(400, "'top_logprobs' needs 'logprobs' to be true.", { param: "top_logprobs" });
  return wanted ? (alternatives ?? 0) : undefined;
}

function readCall(body: JsonObject): FunctionTool | undefined {
  const choice = body["tool_choice"];
  if (!Array.isArray(body["tools"]) || choice === "none") return undefined;
  const functions = body["tools"].flatMap((tool: unknown): FunctionTool[] => {
    const called = isJsonObject(tool) ? tool["function"] : undefined;
    return isJsonObject(called) && typeof called["name"] === "string"
      ? [{ name: called["name"], parameters: called["parameters"] }]
      : [];
  });
  const chosen = isJsonObject(choice) && isJsonObject(choice["function"]) ? choice["function"]["name"] : undefined;
  if (chosen === undefined) return functions[0];
  const named = functions.find((tool) => tool.name === chosen);
  if (!named)
    throw new Refusal(400, "'tool_choice' names a function that is not among 'tools'.", { param: "tool_choice" });
  return named;
}

function readFormat(format: unknown): Format {
  if (format === undefined || format === null) return { kind: "text" };
  const type = isJsonObject(format) ? format["type"] : undefined;
  if (type === "text") return { kind: "text" };
  if (type === "json_object") return { kind: "json" };
  const wrapper = isJsonObject(format) ? format["json_schema"] : undefined;
  if (type === "json_schema" && isJsonObject(wrapper)) return { kind: "schema", schema: wrapper["schema"] };
  throw new Refusal(400, "'response_format' must be of type text, json_object or json_schema.", {
    param: "response_format",
  });
}

const isString = (value: unknown): value is string => typeof value === "string";
const isBoolean = (value: unknown): value is boolean => typeof value === "boolean";
const within =
  (least: number, most: number) =>
  (value: unknown): value is number =>
    typeof value === "number" && value >= least && value <= most;
const whole =
  (least: number, most: number) =>
  (value: unknown): value is number =>
    Number.isInteger(value) && within(least, most)(value);

function optional<T>(
  body: JsonObject,
  name: string,
  is: (value: unknown) => value is T,
  expected: string,
): T | undefined {
  const value = body[name];
  if (value === undefined || value === null) return undefined;
  if (!is(value)) throw new Refusal(400, `'${name}' must be ${expected}.`, { param: name });
  return value;
}
