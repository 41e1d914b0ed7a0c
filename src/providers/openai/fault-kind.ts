import type { ErrorBody } from "./error-body.ts";
import { azure } from "./fault-rules/azure.ts";
import { deepseek } from "./fault-rules/deepseek.ts";
import type { AnswerFaultKind, FaultRules, MessageRule } from "./fault-rules/fault-rule.ts";
import { gemini } from "./fault-rules/gemini.ts";
import { groq } from "./fault-rules/groq.ts";
import { litellm } from "./fault-rules/litellm.ts";
import { llamaCpp } from "./fault-rules/llama-cpp.ts";
import { mistral } from "./fault-rules/mistral.ts";
import { openai } from "./fault-rules/openai.ts";
import { openrouter } from "./fault-rules/openrouter.ts";
import { sglang } from "./fault-rules/sglang.ts";
import { transformers } from "./fault-rules/transformers.ts";
import { vllm } from "./fault-rules/vllm.ts";
import { xai } from "./fault-rules/xai.ts";

/** The rules of every dialect. Their order matters only among messages: the particular before the common. */
export const dialects: readonly FaultRules[] = [
  vllm,
  sglang,
  llamaCpp,
  transformers,
  azure,
  openrouter,
  mistral,
  deepseek,
  groq,
  gemini,
  xai,
  litellm,
  openai,
];

const kindsByWord: ReadonlyMap<string, AnswerFaultKind> = new Map(
  dialects.flatMap(({ words = {} }) =>
    Object.entries(words).flatMap(([kind, list]) => list.map((word) => [word, kind as AnswerFaultKind] as const)),
  ),
);
const messageRules: readonly MessageRule[] = dialects.flatMap(({ messages = [] }) => messages);

/**
 * What a refusal means: by the words that name it, then by its message where a dialect says it only there, then by its status.
 * @param status of the answer; undefined for an error inside of a stream or a 200, whose own words must tell
 */
export function faultKind(status: number | undefined, body: ErrorBody | undefined): AnswerFaultKind {
  const stated = status ?? body?.status;
  return (
    (body && (kindByWords(body) ?? kindByMessage(stated, body) ?? kindOfRelayed(stated, body.relayed))) ??
    kindByStatus(stated ?? statusOfWords(body?.words ?? []), body)
  );
}

function kindByWords({ words }: ErrorBody): AnswerFaultKind | undefined {
  for (const word of words) {
    const kind = kindsByWord.get(word);
    if (kind) return kind;
  }
  return undefined;
}

function kindByMessage(status: number | undefined, { message, words }: ErrorBody): AnswerFaultKind | undefined {
  if (message === undefined) return undefined;
  const rule = messageRules.find(
    ({ statuses, word, says }) =>
      (status === undefined || (statuses ? statuses.includes(status) : status < 500)) &&
      (word === undefined || words.includes(word)) &&
      says.test(message),
  );
  return rule?.kind;
}

/** Of what the provider behind a provider said only that counts which is the caller's: its keys and limits are not ours. */
function kindOfRelayed(status: number | undefined, relayed: ErrorBody | undefined): AnswerFaultKind | undefined {
  const kind = relayed && (kindByWords(relayed) ?? kindByMessage(status, relayed));
  return kind === "context_length_exceeded" || kind === "content_filtered" ? kind : undefined;
}

function kindByStatus(status: number, body: ErrorBody | undefined): AnswerFaultKind {
  const relayed = body?.relayed !== undefined;
  switch (status) {
    case 400:
    case 413:
    case 415:
    case 422:
      return "refused_request";
    case 401:
      return relayed ? "server_error" : "key_refused";
    case 402:
      return relayed ? "server_error" : "quota_exhausted";
    case 403:
      // A firewall between here and the provider answers with a page; the provider itself answers with JSON.
      return body && !relayed ? "key_refused" : "server_error";
    case 404:
      // About the model if it says so; else about the path.
      return relayed || (body?.structured && speaksOfModel(body)) ? "model_unavailable" : "misconfigured";
    case 405:
      return "misconfigured";
    case 429:
      return "rate_limited";
    case 498:
    case 503:
    case 529:
      return "overloaded";
    default:
      // Redirects are not followed, and other codes mean nothing here.
      return status === 408 || status >= 500 ? "server_error" : "malformed";
  }
}

function speaksOfModel({ words, message = "", param = "" }: ErrorBody): boolean {
  return /model|deployment/i.test([...words, message, param].join(" "));
}

/** The status that words come with elsewhere. */
function statusOfWords(words: readonly string[]): number {
  const said = words.join(" ");
  if (/rate.?limit|too.?many|resource.?exhausted|has been exhausted/.test(said)) return 429;
  if (/overloaded|unavailable/.test(said)) return 503;
  if (/auth|api_key|permission/.test(said)) return 401;
  if (/invalid_request|bad_?request|invalid.?argument/.test(said)) return 400;
  if (/not_?found/.test(said)) return 404;
  return 500;
}
