import type { UpstreamFault, UpstreamWords } from "../../chat/fault.ts";
import type { HttpAnswer } from "../lane.ts";
import { retryAfterMs } from "../retry-after.ts";
import { arrayOf, type JsonObject, objectOf, parseJson, textOf } from "./json.ts";

/** What an error body says, whichever of its shapes it has. */
interface ErrorBody {
  readonly message: string | undefined;
  readonly type: string | undefined;
  readonly code: string | undefined;
  readonly param: string | undefined;
  /** Whether it has an `error` member, as OpenAI's own have; a bare `detail` has not. */
  readonly structured: boolean;
}

/**
 * Classifies an answer that is no success. Code and type decide first, then the words where some servers say it only there, then
 * the status; an error body that came with status 200 is taken as if its own code had been the status.
 */
export function faultOf(answer: HttpAnswer): UpstreamFault {
  const text = answer.body.toString("utf8", 0, 64 * 1024);
  const value = parseJson(text);
  const json = objectOf(value) ?? objectOf(arrayOf(value)[0]); // Gemini wraps its errors in a list
  if (!json && answer.status === 400 && /^\s*</.test(text)) return { kind: "malformed", status: answer.status };
  const body = json ? errorBody(json) : undefined;
  const retryAfter = retryAfterMs(answer.headers);
  const words: UpstreamWords = {
    status: answer.status,
    ...wordsOf(body),
    ...(retryAfter !== undefined && { retryAfterMs: retryAfter }),
  };
  return { ...words, ...kindOf(answer.status, body) } as UpstreamFault; // kindOf gives no kind that needs more
}

/** Classifies an error object inside a stream or a 200 answer, where no status tells. */
export function faultOfError(json: JsonObject): UpstreamFault {
  const body = errorBody(json);
  const status = Number(body.code ?? objectOf(json["error"])?.["status"]);
  const likely = status >= 400 && status < 600 ? status : statusOfType(body.type ?? body.code ?? "");
  return { ...wordsOf(body), ...kindOf(likely, body) } as UpstreamFault; // as above
}

function kindOf(status: number, body: ErrorBody | undefined): { kind: UpstreamFault["kind"] } {
  const marks = `${body?.code ?? ""} ${body?.type ?? ""}`.toLowerCase();
  const message = body?.message?.toLowerCase() ?? "";
  if (/context_length_exceeded|exceed_context_size/.test(marks)) return { kind: "context_length_exceeded" };
  if (status === 400 && /maximum context length|context (size|window|length)|prompt is too long/.test(message)) {
    return { kind: "context_length_exceeded" };
  }
  if (/content_filter|content_policy|moderation/.test(marks)) return { kind: "content_filtered" };
  // OpenRouter's 403 is moderation, which no other key or provider should be asked to get around.
  if (status === 403 && /input was flagged|requires moderation/.test(message)) return { kind: "content_filtered" };
  if (/model_not_(found|available)/.test(marks)) return { kind: "model_unavailable" };
  // Words count only where a message begins with them: further on it may quote the caller.
  const spent = /^(your )?credit balance is too low|^insufficient (balance|credit)/.test(message);
  if (
    status === 402 ||
    (status < 500 && spent) ||
    /insufficient_(quota|balance|funds)|billing|quota_exceeded|spend_limit/.test(marks)
  ) {
    return { kind: "quota_exhausted" };
  }
  // Gemini and xAI answer a bad key with 400.
  const badKey = status < 500 && /^(incorrect|invalid) api key|^api key not valid/.test(message);
  if (status === 401 || badKey || /invalid_api_key|authentication_error|no_db_connection/.test(marks)) {
    return { kind: "key_refused" };
  }
  if (status === 429) return { kind: "rate_limited" };
  if (status === 503 || status === 529 || /overloaded/.test(marks)) return { kind: "overloaded" };
  // A 404 is about the model if it says so; else it is about the path.
  if (status === 404) {
    const aboutModel = body?.structured && /model|deployment/.test(`${marks} ${message} ${body.param ?? ""}`);
    return { kind: aboutModel ? "model_unavailable" : "misconfigured" };
  }
  if (status === 405) return { kind: "misconfigured" };
  // A firewall between here and the provider answers 403 with a page; the provider itself answers with JSON.
  if (status === 403) return { kind: body ? "key_refused" : "server_error" };
  if (status === 408 || status >= 500) return { kind: "server_error" };
  if (status === 400 || status === 413 || status === 415 || status === 422) return { kind: "refused_request" };
  return { kind: "malformed" }; // redirects are not followed, and other codes mean nothing here
}

/** The status that a type of error comes with elsewhere. */
function statusOfType(type: string): number {
  const word = type.toLowerCase();
  if (/rate_limit|too_many/.test(word)) return 429;
  if (/overloaded|unavailable/.test(word)) return 503;
  if (/authentication|api_key|permission/.test(word)) return 401;
  if (/invalid_request|bad_?request/.test(word)) return 400;
  if (/not_?found/.test(word)) return 404;
  return 500;
}

/**
 * Servers that call themselves OpenAI-compatible send `{"error":{…}}` with a code in words, as a number or as a number in a text,
 * `{"error":"…"}`, `{"detail":"…"}` or `{"detail":[{"msg":…}]}`.
 */
function errorBody(json: JsonObject): ErrorBody {
  const error = objectOf(json["error"]);
  if (error) {
    const code = error["code"];
    return {
      message: textOf(error["message"]),
      type: textOf(error["type"]),
      code: typeof code === "number" ? String(code) : textOf(code),
      param: textOf(error["param"]),
      structured: true,
    };
  }
  const detail = json["detail"];
  const first = objectOf(arrayOf(detail)[0]);
  const message = textOf(json["error"]) ?? textOf(detail) ?? textOf(first?.["msg"]) ?? textOf(json["message"]);
  return { message, type: undefined, code: undefined, param: undefined, structured: json["error"] !== undefined };
}

function wordsOf(body: ErrorBody | undefined): UpstreamWords {
  if (!body) return {};
  const { message, param } = body;
  // A status repeated as the code says nothing; the type then says more.
  const code = body.code !== undefined && !/^\d+$/.test(body.code) ? body.code : (body.type ?? body.code);
  return {
    ...(message !== undefined && { message: presentable(message) }),
    ...(code !== undefined && { providerCode: presentable(code).slice(0, 100) }),
    ...(param !== undefined && { param: presentable(param).slice(0, 200) }),
  };
}

/** A provider's words as they may be shown: no address, nothing that looks like a key, and not a whole page. */
function presentable(message: string): string {
  return message
    .slice(0, 1000)
    .replace(/\bhttps?:\/\/\S+|\b(localhost|[\w-]+(\.[\w-]+)+):\d{2,5}\b|\b\d{1,3}(\.\d{1,3}){3}\b/gi, "[address]")
    .replace(/\b(sk|pk|rk|gsk|xai)[-_][\w*.-]{8,}|\bbearer\s+\S+/gi, "[key]")
    .replace(/[\u0000-\u001f\u007f]+/g, " ");
}
