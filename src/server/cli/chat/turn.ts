import type { ChatCall, ChatCaller } from "../../../api/rpc/chat-caller.ts";
import { createFold } from "../../../chat/fold.ts";
import type { Completion, RouteTrail } from "../../../chat/messages.ts";
import type { Recovered } from "./hop-lines.ts";

/** What is told of an answer while it comes. */
export interface Listener {
  /** A piece of the answer. */
  text(text: string): void;
  /** A piece of what the model thinks before it answers. */
  reasoning(text: string): void;
  /** The stream broke and goes on elsewhere; `restarted`: what has come is void. */
  recovered(how: Recovered): void;
}

/** An answer with its way; when the call fails, as far as they had come. */
export interface Turn {
  readonly completion: Completion;
  readonly trail: RouteTrail | undefined;
  readonly recovered: Recovered | undefined;
  /** Where the call can be looked at; undefined: nowhere that the gateway knows of. */
  readonly traceUrl: string | undefined;
  /** Why it is not whole. */
  readonly error: unknown;
}

/** Asks once and listens to the end. Does not throw: half an answer is one, too. */
export async function takeTurn(
  gateway: ChatCaller,
  call: ChatCall,
  signal: AbortSignal,
  listener: Listener,
): Promise<Turn> {
  const fold = createFold();
  let trail: RouteTrail | undefined;
  let recovered: Recovered | undefined;
  let traceUrl: string | undefined;
  let error: unknown;
  const onTraceUrl = (url: string) => {
    traceUrl = url;
  };
  try {
    for await (const event of gateway.stream(call, signal, onTraceUrl)) {
      fold.push(event);
      const { kind } = event;
      if (kind.case === "partDelta" && kind.value.candidateIndex === 0) {
        const { delta } = kind.value;
        if (delta.case === "text" || delta.case === "refusal") listener.text(delta.value);
        if (delta.case === "reasoning") listener.reasoning(delta.value);
      } else if (kind.case === "restarted" || kind.case === "resumed") {
        recovered = { case: kind.case, provider: kind.value.provider, attemptIndex: kind.value.attemptIndex };
        listener.recovered(recovered);
      } else if (kind.case === "end") trail = kind.value.trail;
    }
    if (!fold.ended) error = new Error("The answer ended before it was whole.");
  } catch (reason) {
    error = reason;
  }
  return { completion: fold.completion, trail, recovered, traceUrl, error };
}

/** What the answer says: the text of its first candidate, or why the model would not answer. */
export function textOf({ candidates }: Completion): string {
  const parts = candidates[0]?.message?.parts ?? [];
  return parts.map(({ kind }) => (kind.case === "text" || kind.case === "refusal" ? kind.value : "")).join("");
}
