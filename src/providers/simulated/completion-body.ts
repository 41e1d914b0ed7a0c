import type { Answer, Candidate } from "./answer.ts";
import { tokenLogprob } from "./logprobs.ts";

/** What every answer and every chunk of it carries around its choices. */
export interface Envelope {
  id: string;
  /** Seconds since 1970. */
  created: number;
  model: string;
  /** A field only this vendor has: it shows that unknown fields are passed on. */
  fingerprint: string;
  /** How many alternatives per token; undefined without log probabilities. */
  alternatives: number | undefined;
  /** Whether the usage is told at the end. */
  usage: boolean;
}

/** The body of a unary answer. */
export function completionBody(answer: Answer, envelope: Envelope): string {
  return JSON.stringify({
    id: envelope.id,
    object: "chat.completion",
    created: envelope.created,
    model: envelope.model,
    choices: answer.candidates.map((candidate, index) => ({
      index,
      message: message(candidate),
      logprobs: logprobs(candidate, envelope.alternatives),
      finish_reason: candidate.finish,
    })),
    ...(envelope.usage ? { usage: answer.usage } : {}),
    system_fingerprint: envelope.fingerprint,
  });
}

function message({ deltas }: Candidate): object {
  const joined = { reasoning: "", content: "", call: "", arguments: "" };
  let call: { id: string; name: string } | undefined;
  for (const delta of deltas) {
    if (delta.kind === "call") call = { id: delta.id, name: delta.name };
    else joined[delta.kind] += delta.text;
  }
  return {
    role: "assistant",
    content: call ? null : joined.content,
    ...(joined.reasoning === "" ? {} : { reasoning_content: joined.reasoning }),
    refusal: null,
    ...(call
      ? { tool_calls: [{ id: call.id, type: "function", function: { name: call.name, arguments: joined.arguments } }] }
      : {}),
  };
}

function logprobs({ deltas }: Candidate, alternatives: number | undefined): object | null {
  if (alternatives === undefined) return null;
  const content = deltas.filter((delta) => delta.kind === "content");
  return { content: content.map((delta) => tokenLogprob(delta.text, alternatives)), refusal: null };
}
