import type { TokenCounts } from "../../routing/trail.ts";
import type { StreamRead, StreamReader } from "../lane.ts";
import type { ChunkScanner, Scan } from "./chunk-scanner.ts";
import { tokenCountsOf } from "./completion.ts";
import { Continuation } from "./continuation.ts";
import { ContinuedChunks } from "./continued-chunks.ts";
import type { ChunkHead } from "./delivered-text.ts";
import { arrayOf, type JsonObject, objectOf, textOf } from "./json.ts";

/**
 * The rest of an OpenAI stream from another endpoint than the one that began it. Its chunks are written anew: under the id they
 * began with, without what the caller has, their usage including the beginning's. The one with the finish reason says that the
 * stream was resumed and where; where none came, a last one of its own does.
 */
export function continuedNativeReader({
  scanner,
  delivered,
  prefilled,
  head,
  spent,
  showsUsage,
  resumed,
}: {
  readonly scanner: ChunkScanner;
  readonly delivered: string;
  readonly prefilled: boolean;
  readonly head: ChunkHead;
  /** What the beginning has cost. */
  readonly spent: TokenCounts;
  /** Whether the caller asked for a chunk that says what the stream cost. */
  readonly showsUsage: boolean;
  readonly resumed: { readonly provider: string; readonly attempt_index: number | undefined };
}): StreamReader<Buffer> {
  const chunks = new ContinuedChunks(new Continuation(delivered, prefilled));
  let closed = false;
  let toldResumed = false;

  function read({ bytes: _, events, ...meaning }: Scan, over: boolean): StreamRead<Buffer> {
    const items: Buffer[] = [];
    for (const { chunk } of events) {
      const fresh = chunk && chunks.take(chunk);
      if (fresh && (showsUsage || arrayOf(fresh["choices"]).length > 0)) items.push(event(fresh));
    }
    if (over && !meaning.fault && !closed) {
      closed = true;
      const held = chunks.end();
      if (held) items.push(event(held));
      if (!toldResumed) items.push(event({ choices: [], resumed }));
    }
    return { ...meaning, items };
  }

  function event(chunk: JsonObject): Buffer {
    const usage = tokenCountsOf(chunk["usage"]) && withSpent(objectOf(chunk["usage"]) ?? {}, spent);
    const hop = !toldResumed && hasFinished(chunk) && { resumed };
    if (hop) toldResumed = true;
    const whole = { object: "chat.completion.chunk", ...chunk, ...head, ...(usage && { usage }), ...hop };
    return Buffer.from(`data: ${JSON.stringify(whole)}\n\n`);
  }

  return {
    push(bytes) {
      const scan = scanner.push(bytes);
      return read(scan, scan.done);
    },
    end: () => read(scanner.end(), true),
    costSoFar: () => scanner.costSoFar(),
    facts: () => scanner.facts(),
    recovery: () => undefined,
  };
}

function hasFinished({ choices }: JsonObject): boolean {
  return arrayOf(choices).some((choice) => textOf(objectOf(choice)?.["finish_reason"]));
}

/** What both attempts cost together. */
function withSpent(usage: JsonObject, { inputTokens, outputTokens, estimated }: TokenCounts): JsonObject {
  const own = tokenCountsOf(usage) ?? { inputTokens: 0, outputTokens: 0 };
  const input = own.inputTokens + inputTokens;
  const output = own.outputTokens + outputTokens;
  const sum = { ...usage, prompt_tokens: input, completion_tokens: output, total_tokens: input + output };
  return estimated ? { ...sum, estimated } : sum;
}
