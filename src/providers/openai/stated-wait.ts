import { durationMs } from "../duration.ts";
import { remainingReset } from "../rate-limit.ts";
import { type Headers, header, sensible } from "../retry-after.ts";
import type { ErrorBody } from "./error-body.ts";
import type { AnswerFaultKind } from "./fault-rules/fault-rule.ts";

/** What waiting helps against. */
const passing: ReadonlySet<AnswerFaultKind> = new Set(["rate_limited", "quota_exhausted", "overloaded"]);

const unitNames: Readonly<Record<string, string>> = { millisecond: "ms", second: "s", minute: "m", hour: "h" };

/**
 * How long an error body asks to be left alone, for providers that say it there and not in a header: Gemini's `retryDelay`, the
 * header fields that OpenRouter quotes, and "Please try again in 6m0s" in the message of OpenAI, Groq, Azure and others.
 * @returns milliseconds; undefined when nothing sensible was said
 */
export function statedWaitMs(kind: AnswerFaultKind, body: ErrorBody, headers: Headers): number | undefined {
  if (!passing.has(kind)) return undefined;
  const { retryDelay, message = "" } = body;
  return (
    sensible(durationMs(retryDelay ?? "")) ??
    remainingReset({ ...body.headers, date: header(headers, "date") }) ??
    sensible(waitInWords(message))
  );
}

function waitInWords(message: string): number | undefined {
  const said =
    /\b(?:try again|retry) (?:in|after) (?:((?:\d+(?:\.\d+)?(?:ms|d|h|m|s))+)\b|(\d+(?:\.\d+)?) (millisecond|second|minute|hour)s?\b)/i;
  const [, short, amount, unit] = said.exec(message) ?? [];
  if (short !== undefined) return durationMs(short.toLowerCase());
  return amount === undefined ? undefined : durationMs(`${amount}${unitNames[unit?.toLowerCase() ?? ""]}`);
}
