import type { UpstreamFault } from "../chat/fault.ts";
import type { StreamRecovery } from "../routing/endpoint.ts";
import type { AttemptFacts, TokenCounts } from "../routing/trail.ts";
import type { Headers } from "./retry-after.ts";
import type { Target } from "./target.ts";

/** A call to a provider, complete but for the credential. */
export interface HttpRequest {
  /** Default: `POST`. */
  readonly method?: "GET" | "POST";
  /** Below the base URL, with a leading slash. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/** What the gateway may ask of a provider beside what the caller asked. */
export interface Additions {
  /** What a stream costs: not every server knows how to be asked. */
  readonly usage: boolean;
  /** To go on with a text that it is given; only for streams that broke. */
  readonly prefill?: boolean;
}

/** How an answer is asked for: whole, or as a stream. */
export type AnswerMode = "unary" | "stream";

/** A lane's request. */
export interface LaneRequest extends HttpRequest {
  /** How the endpoint is asked, which need not be how the caller has asked. */
  readonly mode: AnswerMode;
  /** Whether it holds an addition that the caller did not write: a refusal of it may be the gateway's own doing. */
  readonly altered: boolean;
  /** Whether parameters of the configuration have changed what the caller sent: a refusal of it may be their doing. */
  readonly configured?: boolean;
  /** Whether it gives the endpoint a text to go on with. */
  readonly prefilled?: boolean;
}

/** A whole answer. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
}

/** What an answer says of itself, for the trail. */
export type AnswerFacts = Partial<Pick<AttemptFacts, "responseModel" | "finishReasons">>;

/** What a read of a stream means. Content and a fault may share one read: what came before the fault is still good. */
export interface ReadMeaning {
  /** Whether it holds content: from here on the answer is committed. */
  readonly content: boolean;
  /** Every candidate has its finish reason: the answer is whole, though usage or a late delta may still come. */
  readonly finished: boolean;
  /** The dialect's terminal event came: nothing after it counts. */
  readonly done: boolean;
  /** What the upstream counted; with the end of a whole answer of which it said nothing, what the gateway estimates. */
  readonly usage?: TokenCounts;
  readonly fault?: UpstreamFault | undefined;
}

/** A read's meaning, and what it gives. */
export interface StreamRead<Item> extends ReadMeaning {
  /** What the caller is to see of it, in order. */
  readonly items: readonly Item[];
}

/** Reads one stream. Pure and synchronous: whoever owns the socket pushes bytes. */
export interface StreamReader<Item> {
  push(bytes: Buffer): StreamRead<Item>;
  /** The upstream ended, or went silent after every finish reason: what was held back, or why the answer is not whole. */
  end(): StreamRead<Item>;
  /** What the stream has cost until now: as the upstream counted, else an estimate. For one that breaks off. */
  costSoFar(): TokenCounts;
  /** What it has said of itself until now. */
  facts(): AnswerFacts;
  /**
   * How the stream goes on elsewhere, were it to break now: after everything that its reads have given; or why it cannot, for
   * people. Undefined: it is not to.
   */
  recovery(): Recovery<Item> | string | undefined;
}

/** How a stream that broke goes on at another endpoint. */
export interface Recovery<Item> {
  request(target: Target, additions: Additions): LaneRequest;
  /**
   * Reads the answer to such a request.
   * @param attemptIndex its attempt's position in the trail, from 1: readers of the stream are told; undefined: they see no trail
   */
  reader(target: Target, request: LaneRequest, attemptIndex: number | undefined): StreamReader<Item>;
}

/** Gathers a stream into the whole answer that it amounts to. Pure and synchronous, like a reader. */
export interface AnswerFold<Answer> {
  push(bytes: Buffer): ReadMeaning;
  /** The upstream ended, or went silent after every finish reason. */
  end(): ReadMeaning;
  /** The answer; to be asked for when its end has come. */
  value(): Answer;
  /** What it has said of itself until now. */
  facts(): AnswerFacts;
}

/**
 * One call's payload in one dialect, bound to what the caller sent: how it is asked, and what the answer means. There are two:
 * the typed lane turns the contract's messages into the dialect and back, the native lane hands an OpenAI body and the bytes of
 * its answer through. The engine does not know which one it drives.
 */
export interface Lane<Answer, Item> {
  /** @param mode what the caller asks for; the request says what the target is asked for */
  request(target: Target, mode: AnswerMode, additions: Additions): LaneRequest;
  /** @throws FaultError when it is not the answer that was asked for */
  answer(
    target: Target,
    answer: HttpAnswer,
  ): { readonly value: Answer; readonly usage?: TokenCounts; readonly facts?: AnswerFacts };
  /** For a target that streams what the caller wants whole. */
  fold(target: Target): AnswerFold<Answer>;
  /**
   * For a target that answers whole what the caller wants as a stream: the stream that it might have sent, for a reader.
   * @throws FaultError when it is not the answer that was asked for
   */
  streamed(target: Target, answer: HttpAnswer): Buffer;
  /** @param recovery what is to become of the stream if it breaks; default: it fails */
  reader(target: Target, recovery?: StreamRecovery): StreamReader<Item>;
  /** What an answer that is no success means. */
  fault(answer: HttpAnswer): UpstreamFault;
}
