import type { Answer, Delta } from "./answer.ts";
import type { Envelope } from "./completion-body.ts";
import { tokenLogprob } from "./logprobs.ts";

/** One event of a stream: its data, and which part of the answer it is. Only deltas are paced. */
export interface StreamEvent {
  kind: "role" | "delta" | "finish" | "usage" | "done";
  data: string;
}

/**
 * The events of a stream, in order: a role for each candidate, their deltas in turns, their finish reasons, the usage where
 * it was asked for, `[DONE]`. The JSON is put together by hand, as this is most of what a benchmark makes the provider do.
 */
export function streamEvents(answer: Answer, envelope: Envelope): StreamEvent[] {
  const head = `{"id":${JSON.stringify(envelope.id)},"object":"chat.completion.chunk","created":${envelope.created},"model":${JSON.stringify(envelope.model)},"system_fingerprint":${JSON.stringify(envelope.fingerprint)},"choices":[`;
  const tail = envelope.usage ? `],"usage":null}` : "]}";
  const events: StreamEvent[] = [];
  const chunk = (kind: StreamEvent["kind"], index: number, delta: string, logprobs = "null", finish = "null") => {
    events.push({
      kind,
      data: `${head}{"index":${index},"delta":${delta},"logprobs":${logprobs},"finish_reason":${finish}}${tail}`,
    });
  };

  answer.candidates.forEach(({ deltas }, index) => {
    const content = deltas.some((delta) => delta.kind === "call") ? "null" : `""`;
    chunk("role", index, `{"role":"assistant","content":${content},"refusal":null}`);
  });
  const longest = Math.max(...answer.candidates.map(({ deltas }) => deltas.length));
  for (let step = 0; step < longest; step++) {
    answer.candidates.forEach(({ deltas }, index) => {
      const delta = deltas[step];
      if (delta) chunk("delta", index, deltaJson(delta), logprobsJson(delta, envelope.alternatives));
    });
  }
  for (const [index, { finish }] of answer.candidates.entries()) chunk("finish", index, "{}", "null", `"${finish}"`);
  if (envelope.usage) events.push({ kind: "usage", data: `${head}],"usage":${JSON.stringify(answer.usage)}}` });
  events.push({ kind: "done", data: "[DONE]" });
  return events;
}

function deltaJson(delta: Delta): string {
  switch (delta.kind) {
    case "content":
      return `{"content":${JSON.stringify(delta.text)}}`;
    case "reasoning":
      return `{"reasoning_content":${JSON.stringify(delta.text)}}`;
    case "call":
      return JSON.stringify({
        tool_calls: [{ index: 0, id: delta.id, type: "function", function: { name: delta.name, arguments: "" } }],
      });
    case "arguments":
      return JSON.stringify({ tool_calls: [{ index: 0, function: { arguments: delta.text } }] });
  }
}

function logprobsJson(delta: Delta, alternatives: number | undefined): string {
  if (alternatives === undefined || delta.kind !== "content") return "null";
  return JSON.stringify({ content: [tokenLogprob(delta.text, alternatives)], refusal: null });
}
