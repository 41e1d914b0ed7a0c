import { ChatCallError } from "../../../api/rpc/chat-caller.ts";
import { harmless, printable } from "../terminal-text.ts";
import type { Paint } from "./paint.ts";

/** Where a call went, and how far it came. */
export interface Whereabouts {
  /** Where the gateway was looked for. */
  readonly url: string;
  /** Whether it had begun to answer. */
  readonly begun: boolean;
}

/** Why there is no answer, or not all of it, and what may be done about it. */
export function failureLines(error: unknown, where: Whereabouts, paint: Paint): string[] {
  const [what, ...more] = wordsOf(error, where);
  return [paint("red", what ?? ""), ...more.map((line) => paint("dim", line))];
}

function wordsOf(error: unknown, where: Whereabouts): string[] {
  if (!(error instanceof ChatCallError)) return [message(error)];
  const { reason, status, requestId, retryDelayMs } = error;
  if (reason === undefined) return foreignWords(error, where);
  const notes = [
    `${status}, ${printable(reason)}`,
    requestId && `request ${printable(requestId)}`,
    retryDelayMs !== undefined && `come back in ${(retryDelayMs / 1000).toFixed(1)} s`,
  ];
  const advice = status === "UNAUTHENTICATED" ? ["Give a key by --key, or better by EVERHOP_API_KEY."] : [];
  return [message(error), notes.filter(Boolean).join(" · "), ...advice];
}

/** What was not said by a gateway. */
function foreignWords(error: ChatCallError, { url, begun }: Whereabouts): string[] {
  const { networkCode } = error;
  if (begun) return [`The connection to ${url} broke off before the answer was whole: ${message(error)}`];
  if (networkCode === "ECONNREFUSED" || networkCode === "ENOTFOUND" || networkCode === "EAI_AGAIN") {
    return [
      `No gateway runs at ${url} (${networkCode}).`,
      "Start one with `npx everhop serve`, or say where it is by --url or EVERHOP_URL.",
    ];
  }
  if (networkCode !== undefined && !networkCode.startsWith("ERR_HTTP2_"))
    return [`The connection to ${url} failed: ${message(error)} (${networkCode})`];
  return [`What answers at ${url} is no Everhop gateway, or something stands in between: ${message(error)}`];
}

function message(error: unknown): string {
  return error instanceof Error ? harmless(error.message).slice(0, 2000) : String(error);
}
