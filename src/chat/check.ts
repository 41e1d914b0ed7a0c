import type { Violation } from "./fault.ts";
import { type Media, type Part, type Prompt, Role, ToolMode } from "./messages.ts";

/** What a number of a prompt may be; both surfaces check against the same limits. */
export interface Range {
  readonly min: number;
  readonly max: number;
  /** Only whole numbers. */
  readonly whole?: boolean;
}

const int32Max = 2 ** 31 - 1;

/** The limits of the chat parameters, as the OpenAI API publishes them. */
export const ranges = {
  temperature: { min: 0, max: 2 },
  topP: { min: 0, max: 1 },
  topK: { min: 1, max: int32Max, whole: true },
  penalty: { min: -2, max: 2 },
  logitBias: { min: -100, max: 100 },
  maxOutputTokens: { min: 1, max: int32Max, whole: true },
  candidateCount: { min: 1, max: 128, whole: true },
  topLogprobs: { min: 0, max: 20, whole: true },
  retryCount: { min: 0, max: 9, whole: true },
} as const satisfies Record<string, Range>;

/** Most stop sequences. */
export const maxStopSequences = 4;
/** Most providers that one call may name as fallbacks. */
export const maxFallbackProviders = 16;
/** Longest name of a model: it is repeated in trails, headers and logs. */
export const maxModelLength = 256;
/** Most messages, tools and parts: far above what any model reads, far below what would stall the process. */
const maxItems = 10_000;

/** Says what is wrong with a number, or nothing when it lies in the range. */
export function outside(value: unknown, range: Range): string | undefined {
  const kind = range.whole ? "a whole number" : "a number";
  const fits =
    typeof value === "number" && value >= range.min && value <= range.max && (!range.whole || Number.isInteger(value));
  if (fits) return undefined;
  const limits = range.max === int32Max ? `of at least ${range.min}` : `from ${range.min} to ${range.max}`;
  return `expected ${kind} ${limits}, got ${shown(value)}`;
}

/** A value as it may stand in a message: cut short, and of objects and lists only that they are such. */
export function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "an object";
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/**
 * Checks a prompt before any upstream is called.
 * @returns every violation, with paths as in the contract; none when the prompt may go
 */
export function checkPrompt(prompt: Prompt): Violation[] {
  const violations: Violation[] = [];
  const complain = (field: string, description: string) => {
    if (violations.length < 100) violations.push({ field: `prompt.${field}`, description });
  };
  const number = (field: string, value: number | undefined, range: Range) => {
    const problem = value === undefined ? undefined : outside(value, range);
    if (problem) complain(field, problem);
  };

  if (prompt.model.length > maxModelLength) complain("model", `expected at most ${maxModelLength} characters`);
  if (prompt.messages.length === 0) complain("messages", "expected at least one message, got none");
  if (prompt.messages.length > maxItems) complain("messages", `expected at most ${maxItems} messages`);
  if (prompt.tools.length > maxItems) complain("tools", `expected at most ${maxItems} tools`);
  for (const [index, message] of firstOf(prompt.messages).entries()) {
    const path = `messages[${index}]`;
    if (message.role === Role.UNSPECIFIED || !(message.role in roleNames)) {
      complain(`${path}.role`, "expected ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT or ROLE_TOOL");
    }
    // An assistant's turn may have come to nothing, and stands in the history all the same.
    if (message.parts.length === 0 && message.role !== Role.ASSISTANT)
      complain(`${path}.parts`, "expected at least one part, got none");
    for (const [position, part] of message.parts.entries()) {
      checkPart(part, message.role, `${path}.parts[${position}]`, complain);
    }
  }
  for (const [index, tool] of firstOf(prompt.tools).entries()) {
    const path = `tools[${index}]`;
    if (tool.kind.case !== "function") {
      complain(path, "expected `function`");
      continue;
    }
    checkName(`${path}.function.name`, tool.kind.value.name, complain);
    if (tool.kind.value.parametersJson !== "") {
      checkJsonObject(`${path}.function.parameters_json`, tool.kind.value.parametersJson, complain);
    }
  }

  const { sampling, responseFormat } = prompt;
  if (sampling) {
    number("sampling.temperature", sampling.temperature, ranges.temperature);
    number("sampling.top_p", sampling.topP, ranges.topP);
    number("sampling.top_k", sampling.topK, orDefault.topK);
    number("sampling.presence_penalty", sampling.presencePenalty, ranges.penalty);
    number("sampling.frequency_penalty", sampling.frequencyPenalty, ranges.penalty);
    for (const [token, bias] of Object.entries(sampling.logitBias)) {
      number(`sampling.logit_bias[${token}]`, bias, ranges.logitBias);
    }
  }
  number("max_output_tokens", prompt.maxOutputTokens, orDefault.maxOutputTokens);
  number("candidate_count", prompt.candidateCount, orDefault.candidateCount);
  number("logprobs.top_count", prompt.logprobs?.topCount, ranges.topLogprobs);
  if (prompt.stopSequences.length > maxStopSequences) {
    complain("stop_sequences", `expected at most ${maxStopSequences}, got ${prompt.stopSequences.length}`);
  }
  if (prompt.stopSequences.includes("")) complain("stop_sequences", "expected texts that are not empty");
  if (responseFormat.case === "jsonSchema") {
    checkName("json_schema.name", responseFormat.value.name, complain);
    checkJsonObject("json_schema.schema_json", responseFormat.value.schemaJson, complain);
  }
  checkToolChoice(prompt, complain);
  for (const [name, json] of Object.entries(prompt.extensionJson)) {
    if (parsed(json) === undefined) complain(`extension_json[${name}]`, "expected JSON text");
  }
  return violations;
}

function firstOf<T>(items: readonly T[]): readonly T[] {
  return items.length > maxItems ? items.slice(0, maxItems) : items;
}

type Complain = (field: string, description: string) => void;

/** In the contract 0 stands for the default. */
const orDefault = {
  topK: { ...ranges.topK, min: 0 },
  maxOutputTokens: { ...ranges.maxOutputTokens, min: 0 },
  candidateCount: { ...ranges.candidateCount, min: 0 },
};

function checkToolChoice({ toolChoice, tools }: Prompt, complain: Complain): void {
  if (!toolChoice) return;
  const { mode, functionName } = toolChoice;
  if (mode === ToolMode.REQUIRED && tools.length === 0) {
    complain("tool_choice.mode", "expected tools with TOOL_MODE_REQUIRED, for one must be called");
  }
  if (!functionName) return;
  if (mode === ToolMode.AUTO || mode === ToolMode.NONE) {
    complain(
      "tool_choice.function_name",
      "expected with TOOL_MODE_REQUIRED or no mode, for the function must be called",
    );
  }
  if (!tools.some(({ kind }) => kind.case === "function" && kind.value.name === functionName)) {
    complain("tool_choice.function_name", `expected the name of one of the tools, got ${shown(functionName)}`);
  }
}

const roleNames: Record<number, string> = { 1: "system", 2: "user", 3: "assistant", 4: "tool" };

/** Which kinds of part may stand in a message of a role. */
const allowedParts: Record<number, readonly string[]> = {
  [Role.SYSTEM]: ["text"],
  [Role.USER]: ["text", "media"],
  [Role.ASSISTANT]: ["text", "reasoning", "toolCall", "refusal"],
  [Role.TOOL]: ["toolResult"],
};

const contractNames: Record<string, string> = { toolCall: "tool_call", toolResult: "tool_result" };

function checkPart(part: Part, role: Role, path: string, complain: Complain): void {
  const { kind } = part;
  if (kind.case === undefined) {
    complain(
      path,
      "expected a part with its kind set: `text`, `media`, `reasoning`, `tool_call`, `tool_result` or `refusal`",
    );
    return;
  }
  const allowed = allowedParts[role];
  if (allowed && !allowed.includes(kind.case)) {
    const names = allowed.map((name) => `\`${contractNames[name] ?? name}\``).join(", ");
    complain(
      path,
      `expected ${names} in a message of role ${roleNames[role]}, got \`${contractNames[kind.case] ?? kind.case}\``,
    );
  }
  if (kind.case === "media") checkMedia(kind.value, `${path}.media`, complain);
  if (kind.case === "toolCall" && kind.value.name === "") complain(`${path}.tool_call.name`, "expected a name");
  if (kind.case === "toolResult") {
    if (kind.value.toolCallId === "")
      complain(`${path}.tool_result.tool_call_id`, "expected the id of the call it answers");
    for (const [position, inner] of kind.value.parts.entries()) {
      const innerPath = `${path}.tool_result.parts[${position}]`;
      if (inner.kind.case === "media") checkMedia(inner.kind.value, `${innerPath}.media`, complain);
      else if (inner.kind.case !== "text") complain(innerPath, "expected `text` or `media`");
    }
  }
}

function checkMedia({ source, mediaType }: Media, path: string, complain: Complain): void {
  if (source.case === undefined) complain(path, "expected `data`, `url` or `file_id`");
  if (!/^[a-z]+\/[^\s/]+$/i.test(mediaType)) {
    complain(`${path}.media_type`, `expected a media type such as image/png, got ${shown(mediaType)}`);
  }
}

function checkName(field: string, name: string, complain: Complain): void {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(name)) {
    complain(field, `expected 1 to 64 of A-Z, a-z, 0-9, _ and -, got ${shown(name)}`);
  }
}

function checkJsonObject(field: string, json: string, complain: Complain): void {
  const value = parsed(json);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    complain(field, "expected the text of a JSON object");
  }
}

/** The value of a JSON text; undefined when it is none, or nested too deeply to be written again. */
function parsed(json: string): unknown {
  try {
    const value: unknown = JSON.parse(json);
    JSON.stringify(value);
    return value;
  } catch {
    return undefined;
  }
}
