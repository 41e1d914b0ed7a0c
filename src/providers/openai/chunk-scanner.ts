import type { UpstreamFault } from "../../chat/fault.ts";
import type { TokenCounts } from "../../routing/trail.ts";
import type { ReadMeaning } from "../lane.ts";
import { SseDecoder, type SseEvent, SseOverflow, type SseRead } from "../sse.ts";
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

/** How much of a body that is no event stream is kept, to tell what it is. */
const maxPreambleBytes = 64 * 1024;

/**
 * What both lanes must know of an OpenAI stream: where content begins, whether every candidate has ended, what it cost, and
 * whether it broke. The body decides, not the content type: some servers send event streams as plain text, and errors as 200.
 */
export class ChunkScanner {
  readonly #decoder = new SseDecoder();
  readonly #candidateCount: number;
  readonly #promptCharacters: () => number;
  readonly #seenCandidates = new Set<number>();
  readonly #finishedCandidates = new Set<number>();
  #preamble: Buffer[] | undefined = [];
  #preambleBytes = 0;
  #over = false;
  /** What has come of the answer itself, to estimate its cost by; and what the upstream has told of it. */
  #characters = 0;
  #usage: TokenCounts | undefined;

  /**
   * @param candidateCount how many answers were asked for
   * @param promptCharacters counts the prompt's texts; asked only when the upstream says nothing of usage
   */
  constructor(candidateCount: number, promptCharacters: () => number) {
    this.#candidateCount = candidateCount;
    this.#promptCharacters = promptCharacters;
  }

  push(bytes: Buffer): Scan {
    if (this.#over) return this.#scan({ bytes, events: [] });
    if (this.#preamble && this.#preambleBytes < maxPreambleBytes) {
      this.#preamble.push(bytes);
      this.#preambleBytes += bytes.length;
    }
    try {
      const scan = this.#scan(this.#decoder.push(bytes));
      return scan.done ? this.#priced(scan) : scan;
    } catch (error) {
      if (!(error instanceof SseOverflow)) throw error;
      this.#over = true;
      return { ...this.#scan({ bytes, events: [] }), fault: { kind: "malformed", message: error.message } };
    }
  }

  /** The upstream ended: the answer is whole if it finished, else here is why not. */
  end(): Scan {
    const rest = this.#ended();
    return rest.fault ? rest : this.#priced(rest);
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
    const finished = this.#finishedCandidates.size >= this.#candidateCount;
    return { bytes, events: scanned, content, finished, done, ...(usage && { usage }), ...(fault && { fault }) };
  }

  /** Whether a chunk holds content; remembers which candidates have finished. */
  #inspect(chunk: JsonObject): boolean {
    let content = false;
    for (const each of arrayOf(chunk["choices"])) {
      const choice = objectOf(each);
      if (!choice) continue;
      const index = countOf(choice["index"]);
      this.#seenCandidates.add(index);
      const delta = objectOf(choice["delta"]);
      if (delta && holdsContent(delta)) {
        content = true;
        this.#characters += answerCharacters(delta);
      }
      // Some servers say "" in every chunk until there is a reason.
      if (textOf(choice["finish_reason"])) {
        this.#finishedCandidates.add(index);
        content = true;
      }
    }
    return content;
  }

  /** The end of a whole answer: if nothing was said of what it cost, an estimate. */
  #priced(scan: Scan): Scan {
    if (this.#usage) return scan;
    this.#usage = this.costSoFar();
    return { ...scan, usage: this.#usage };
  }

  /** What the stream has cost until now: as the upstream counted, else an estimate. */
  costSoFar(): TokenCounts {
    return this.#usage ?? estimatedCounts(this.#promptCharacters(), this.#characters);
  }

  /** The body had not one event: an error with status 200, a page, or nothing. */
  #faultOfPreamble(preamble: readonly Buffer[]): UpstreamFault {
    const json = errorObject(parseJson(Buffer.concat(preamble).toString("utf8")));
    if (json && (isError(json) || json["detail"])) return faultOfError(json);
    return { kind: "malformed", message: "the answer is not an event stream" };
  }
}
