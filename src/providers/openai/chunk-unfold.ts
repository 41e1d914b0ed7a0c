import { arrayOf, countOf, type JsonObject, objectOf } from "./json.ts";

/**
 * A whole OpenAI answer as the stream that its server might have sent: for each candidate a chunk with all that it says and one with
 * its finish reason, then the usage, then the end. What is said of the answer as a whole stands in every chunk.
 */
export function streamOf(answer: JsonObject): Buffer {
  const { choices, usage, ...whole } = answer;
  const head = { ...whole, object: "chat.completion.chunk" };
  const chunks = arrayOf(choices).flatMap((choice, position) => chunksOf(objectOf(choice) ?? {}, position));
  const events = chunks.map((chunk) => JSON.stringify({ ...head, choices: [chunk] }));
  if (objectOf(usage)) events.push(JSON.stringify({ ...head, choices: [], usage }));
  return Buffer.from([...events, "[DONE]"].map((data) => `data: ${data}\n\n`).join(""));
}

function chunksOf(choice: JsonObject, position: number): JsonObject[] {
  const { index: at, message, logprobs, finish_reason: finish, ...others } = choice;
  const index = typeof at === "number" ? countOf(at) : position;
  const { tool_calls: calls, ...said } = objectOf(message) ?? {};
  const delta = { role: "assistant", ...said, ...(calls !== undefined && { tool_calls: numbered(calls) }) };
  return [
    { index, delta, ...(logprobs !== undefined && { logprobs }), finish_reason: null },
    { index, delta: {}, ...others, finish_reason: finish ?? null },
  ];
}

/** In a stream calls are told apart by their indices. */
function numbered(calls: unknown): unknown {
  return Array.isArray(calls) ? calls.map((call, index) => ({ ...objectOf(call), index })) : calls;
}
