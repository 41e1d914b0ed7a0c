import type { UpstreamFault } from "../../chat/fault.ts";
import type { TokenCounts } from "../../routing/trail.ts";
import type { AnswerFacts, ReadMeaning } from "../lane.ts";
import { SseDecoder, type SseEvent, SseOverflow, type SseRead } from "../sse.ts";
import { answerFacts } from "./answer-facts.ts";
import { holdsContent, tokenCountsOf } from "./completion.ts";
import { errorObject, isError } from "./error-body.ts";
import { answerCharacters, estimatedCounts } from "./estimate.ts";
import { faultOfError } from "./faults.ts";
import { arrayOf, countOf, type JsonObject, objectOf, parseJson, textOf } from "./json.ts";

/** An event of an OpenAI stream with its chunk; comments and events of other kinds have none. */
export interface ScannedEvent extends SseEvent {
  readonly chunk: JsonObject | undefined;
}

/** A read's meaning with its good events: what came with or after a fault or `[DONE]` is not among them. */
export interface Scan extends ReadMeaning {
  readonly bytes: Buffer;
  readonly events: readonly ScannedEvent[];
}

/** What an answer should be, by what was asked. */
export interface Expected {
  /** How many answers were asked for. */
  readonly candidateCount: number;
  /** Whether one without a word is an answer: a stop sequence may have come first, or nothing may have been left to say. */
  readonly mayBeEmpty: boolean;
  /** Counts the prompt's texts; asked only when the upstream says nothing of usage. */
  promptCharacters(): number;
}

/** What is wrong with an answer that has come to a natural end after no token at all. */
export const hollowAnswer = "the answer holds nothing";

/** How much of a body that is no event stream is kept, to tell what it is. */
const maxPreambleBytes = 64 * 1024;

/**
 * What both lanes must know of an OpenAI stream: where content begins, whether every candidate has ended, what it cost, and
 * whether it broke. The body decides, not the content type: some servers send event streams as plain text, and errors as 200.
 */
export class ChunkScanner {
  readonly #decoder = new SseDecoder();
  readonly #expected: Expected;
  readonly #seenCandidates = new Set<number>();
  /** With their reasons. */
  readonly #finishedCandidates = new Map<number, string>();
  #model: unknown;
  #preamble: Buffer[] | undefined = [];
  #preambleBytes = 0;
  #over = false;
  /** Whether anything has come that answers: content, or a reason to have none. */
  #answered = false;
  /** What has come of the answer itself, to estimate its cost by; and what the upstream has told of it. */
  #characters = 0;
  #usage: TokenCounts | undefined;

  constructor(expected: Expected) {
    this.#expected = expected;
  }

  push(bytes: Buffer): Scan {
    if (this.#over) return this.#scan({ bytes, events: [] });
    if (this.#preamble && this.#preambleBytes < maxPreambleBytes) {
      this.#preamble.push(bytes);
      this.#preambleBytes += bytes.length;
    }
    try {
      const scan = this.#scan(this.#decoder.push(bytes));
      return scan.done ? this.#priced(this.#judged(scan)) : scan;
    } catch (error) {
      if (!(error instanceof SseOverflow)) throw error;
      this.#over = true;
      return { ...this.#scan({ bytes, events: [] }), fault: { kind: "malformed", message: error.message } };
    }
  }

  /** The upstream ended: the answer is whole if it finished, else here is why not. */
  end(): Scan {
    const rest = this.#ended();
    return rest.fault ? rest : this.#priced(this.#judged(rest));
  }

  #ended(): Scan {
    const rest = this.#scan(this.#over ? { bytes: Buffer.alloc(0), events: [] } : this.#decoder.end());
    // A server that knows nothing of `n` sends one candidate and ends well: what it began it has finished.
    const begunAndFinished =
      this.#seenCandidates.size > 0 && this.#seenCandidates.size === this.#finishedCandidates.size;
    if (rest.done) return rest;
    // Then what does not parse any more was usage at best.
    if (begunAndFinished && rest.fault?.kind === "malformed") return { ...rest, fault: undefined };
    if (begunAndFinished) return rest;
    // Whatever does not parse at the very end is a cut, not nonsense.
    if (rest.fault && rest.fault.kind !== "malformed") return rest;
    return { ...rest, fault: this.#preamble ? this.#faultOfPreamble(this.#preamble) : { kind: "truncated" } };
  }

  #scan({ bytes, events }: SseRead): Scan {
    const scanned: ScannedEvent[] = [];
    let content = false;
    let usage: TokenCounts | undefined;
    let fault: UpstreamFault | undefined;
    let done = false;
    for (const event of events) {
      if (event.data === undefined) {
        scanned.push({ ...event, chunk: undefined });
        continue;
      }
      this.#preamble = undefined;
      if (event.data.trim() === "[DONE]") {
        done = true;
        break;
      }
      const chunk = objectOf(parseJson(event.data));
      if (!chunk) {
        fault = { kind: "malformed", message: "an event of the stream cannot be read" };
        break;
      }
      if (isError(chunk)) {
        fault = faultOfError(chunk);
        break;
      }
      scanned.push({ ...event, chunk });
      if (this.#inspect(chunk)) content = true;
      usage = tokenCountsOf(chunk["usage"]) ?? usage;
    }
    if (usage) this.#usage = usage;
    if (done || fault) this.#over = true;
    const finished = this.#finishedCandidates.size >= this.#expected.candidateCount;
    return { bytes, events: scanned, content, finished, done, ...(usage && { usage }), ...(fault && { fault }) };
  }

  /** Whether a chunk holds content; remembers which candidates have finished. */
  #inspect(chunk: JsonObject): boolean {
    let content = false;
    this.#model ||= chunk["model"];
    for (const each of arrayOf(chunk["choices"])) {
      const choice = objectOf(each);
      if (!choice) continue;
      const index = countOf(choice["index"]);
      this.#seenCandidates.add(index);
      const delta = objectOf(choice["delta"]);
      if (delta && holdsContent(delta)) {
        content = true;
        this.#answered = true;
        this.#characters += answerCharacters(delta);
      }
      // Some servers say "" in every chunk until there is a reason.
      const reason = textOf(choice["finish_reason"]);
      if (reason) {
        this.#finishedCandidates.set(index, reason);
        // Whoever has come to a natural end has said something, or else it is to be seen whether that was an answer.
        if (reason !== "stop" || this.#answered || this.#expected.mayBeEmpty) content = true;
      }
    }
    if (content) this.#answered = true;
    return content;
  }

  /** The end of an answer that has only said that it has ended: it counts as one unless the upstream says that it is nothing. */
  #judged(scan: Scan): Scan {
    if (this.#answered || this.#finishedCandidates.size === 0 || scan.fault) return scan;
    this.#answered = true;
    if (this.#usage?.outputTokens !== 0) return { ...scan, content: true };
    return { ...scan, fault: { kind: "malformed", message: hollowAnswer } };
  }

  /** The end of a whole answer: if nothing was said of what it cost, an estimate. */
  #priced(scan: Scan): Scan {
    if (this.#usage) return scan;
    this.#usage = this.costSoFar();
    return { ...scan, usage: this.#usage };
  }

  /** What the stream has cost until now: as the upstream counted, else an estimate. */
  costSoFar(): TokenCounts {
    return this.#usage ?? estimatedCounts(this.#expected.promptCharacters(), this.#characters);
  }

  /** What the stream has said of itself until now. */
  facts(): AnswerFacts {
    return answerFacts(this.#model, [...this.#finishedCandidates.values()]);
  }

  /** The body had not one event: an error with status 200, a page, or nothing. */
  #faultOfPreamble(preamble: readonly Buffer[]): UpstreamFault {
    const json = errorObject(parseJson(Buffer.concat(preamble).toString("utf8")));
    if (json && (isError(json) || json["detail"])) return faultOfError(json);
    return { kind: "malformed", message: "the answer is not an event stream" };
  }
}
