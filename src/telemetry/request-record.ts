import type { Trail } from "../routing/trail.ts";
import type { Clock } from "../runtime/clock.ts";
import type { TraceParent } from "../runtime/trace-context.ts";

/** What a request came by. */
export type Wire = "rest" | "grpc" | "grpc_web" | "connect";

/** How a request ended that was not served. */
export interface RequestFailure {
  /** The kind of its fault, or a status word where the wires themselves have refused it. */
  readonly kind: string;
  /** Status word of gRPC, `not_found`. */
  readonly rpc: string;
  /** HTTP status that tells it. */
  readonly http: number;
}

/** What a request's head says of it; never of its payload. */
export interface RequestHead {
  readonly requestId: string;
  /** W3C trace id: the sender's, or a new one. */
  readonly traceId: string;
  /** Its own span's id; its last four digits are zero. */
  readonly spanId: string;
  /** The sender's span. */
  readonly parent: TraceParent | undefined;
  readonly traceState: string | undefined;
  readonly wire: Wire;
  readonly method: string;
  /** Without the query, which may hold anything. */
  readonly path: string;
  /** `1.1`, `2`. */
  readonly httpVersion: string;
  readonly isEncrypted: boolean;
  /** Whose request it is, as far as trusted proxies tell. */
  readonly clientAddress: string;
  /** Under which name and port the gateway was asked. */
  readonly host: string | undefined;
  readonly userAgent: string | undefined;
}

/** Who is told of every request. It must not throw and must not wait. */
export interface RequestWatcher {
  began?(request: RequestRecord): void;
  /** Nothing of it is under way any more, and its trail has its end. */
  ended?(request: RequestRecord): void;
  /** It was taken over by another record, which begins now. */
  abandoned?(request: RequestRecord): void;
}

/** What a record takes of its surroundings. */
export interface Recording {
  readonly clock: Clock;
  readonly watcher: RequestWatcher;
  /** Whether a trace is to be recorded whatever becomes of it: what those who are asked next are told. */
  samples(traceId: string, parent: TraceParent | undefined): boolean;
  /** Whether spans go anywhere. */
  traces(): boolean;
  /** Whether prompts and answers may be written down. */
  readonly content: boolean;
  /** Where people read a trace; undefined: nowhere that is known. */
  readonly traceUrl?: ((traceId: string) => string) | undefined;
}

/** Clients count their deadlines from when they have asked, and so leave a little before ours. */
const hastyMs = 50;

/**
 * One request from its head to the end of its answer, in plain members that cost next to nothing. Whoever wants spans, lines or figures
 * of it makes them when it is over. It ends when its answer has and its routing has, whichever is later.
 */
export class RequestRecord {
  readonly head: RequestHead;
  /** Monotonic ms. */
  readonly startedAt: number;
  /** Monotonic ms; 0 until it is over. */
  endedAt = 0;
  /** `/v1/chat/completions`, `everhop.v1.ChatService/CompleteChat`; undefined: there is no such thing. */
  operation: string | undefined;
  /** Whether it is asked by machines again and again to see whether all is well, or is about the gateway itself. */
  isProbe = false;
  /** Name of the caller; undefined: nobody's. */
  caller: string | undefined;
  /** Whether its answer is a stream; undefined: it did not come to be asked. */
  streams: boolean | undefined;
  /** Once it is routed. */
  trail: Trail | undefined;
  failure: RequestFailure | undefined;
  /** Until when its caller waits for it, monotonic ms. */
  deadline = Number.POSITIVE_INFINITY;
  /** HTTP status of its answer; 0: none was sent. */
  httpStatus = 0;
  /** What was asked and answered, as JSON; only where content may be written down. */
  content: { input?: string; output?: string } | undefined;
  readonly #recording: Recording;
  /** What is not over yet: its answer, its routing. */
  #holds = 1;
  #isClosed = false;
  #sampled: boolean | undefined;

  constructor(recording: Recording, head: RequestHead) {
    this.#recording = recording;
    this.head = head;
    this.startedAt = recording.clock.now();
    if (recording.content) this.content = {};
    recording.watcher.began?.(this);
  }

  get requestId(): string {
    return this.head.requestId;
  }

  get traceId(): string {
    return this.head.traceId;
  }

  /** Whether its spans go anywhere, if they are kept. */
  get traced(): boolean {
    return this.#recording.traces();
  }

  /** Where people read its trace, if it is kept; undefined: nowhere that is known. */
  get traceUrl(): string | undefined {
    return this.#recording.traceUrl?.(this.head.traceId);
  }

  /** Whether its trace is recorded whatever becomes of it. */
  get sampled(): boolean {
    const { traceId, parent } = this.head;
    this.#sampled ??= this.#recording.samples(traceId, parent);
    return this.#sampled;
  }

  /** Something of it goes on that may outlast its answer. */
  hold(): void {
    this.#holds += 1;
  }

  /** Each `hold` has one `release`. */
  release(): void {
    this.#holds -= 1;
    if (this.#holds > 0) return;
    this.endedAt = this.#recording.clock.now();
    this.#recording.watcher.ended?.(this);
  }

  /** It is not served, or not to its end. What was told first counts: the rest follows from it. */
  fail(failure: RequestFailure): void {
    this.failure ??= failure;
  }

  /**
   * Its answer is over, harmless when called twice.
   * @param gone why it has not come to its end: its caller has left, or has given up at its own deadline
   */
  close(httpStatus: number, gone: { readonly left: RequestFailure; readonly late: RequestFailure } | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.httpStatus = httpStatus;
    if (gone) this.fail(this.#recording.clock.now() > this.deadline - hastyMs ? gone.late : gone.left);
    this.release();
  }

  /** It is served under another record; this one tells nothing. */
  abandon(): void {
    this.#isClosed = true;
    this.#recording.watcher.abandoned?.(this);
  }
}
