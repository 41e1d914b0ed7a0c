import { FaultError } from "../chat/fault.ts";
import type { Additions, Lane, LaneRequest, StreamRead, StreamReader } from "../providers/lane.ts";
import type { Target } from "../providers/target.ts";
import type { UpstreamBody } from "../providers/upstream.ts";
import type { Lease } from "../routing/lease.ts";
import { type Opened, RouteError } from "../routing/router.ts";
import { minAttemptMs } from "../routing/settings.ts";
import type { Trail } from "../routing/trail.ts";
import { type Cancellation, linkedCancellation } from "../runtime/cancellation.ts";
import type { Clock } from "../runtime/clock.ts";
import type { RequestRecord } from "../telemetry/request-record.ts";
import { type CallAdditions, createAdditions } from "./additions.ts";
import type { ByteAccount } from "./byte-budget.ts";
import { type Call, CallError, enter, type Machine } from "./call.ts";
import {
  errorAnswer,
  isSuccess,
  letEnd,
  noteHead,
  noteUsage,
  understood,
  wholeAnswer,
  withoutKey,
} from "./complete.ts";
import { LateReads } from "./late-reads.ts";
import { withTrace } from "./trace-headers.ts";

/** A committed stream: its first content is in hand. */
export interface OpenStream<Item> {
  /** The provider that serves, or at least began to. */
  readonly provider: string;
  /** Live: the last attempt ends with the stream. When a batch marked `last` is handed out it has ended. */
  readonly trail: Trail;
  /**
   * What comes next, a read's worth at a time.
   * @throws CallError when the stream breaks off or is called off
   */
  next(): Promise<{ readonly items: readonly Item[]; readonly last: boolean }>;
  /** Gives the rest up, for a reason that is only asked for when there is a rest. */
  close(reason: () => unknown): void;
}

/** Bytes without content that are waited through at most: one event at its longest, and 64 KiB beside it. */
const maxPreambleBytes = (1 << 20) + (64 << 10);

/** How an attempt asks, and how its answer is read. */
interface Approach<Item> {
  request(target: Target, additions: Additions): LaneRequest;
  reader(target: Target, request: LaneRequest, attemptIndex: number | undefined): StreamReader<Item>;
}

/** What an attempt brings to the commit point. */
interface Opening<Item> {
  readonly body: UpstreamBody;
  readonly reader: StreamReader<Item>;
  readonly first: StreamRead<Item>;
  readonly ended: boolean;
}

/** Makes an attempt that lands with its first content. */
type Opener<Item> = (approach: Approach<Item>) => (lease: Lease<Target>) => Promise<Opening<Item>>;

/**
 * Opens a stream, whatever its payload is. Until the first content every failure hops on unseen; the promise resolves at the
 * commit point, and from there on a failure is shown, unless the stream can go on elsewhere and is to.
 * @throws CallError
 */
export async function open<Item>(machine: Machine, call: Call, lane: Lane<unknown, Item>): Promise<OpenStream<Item>> {
  let release = () => {};
  call.record.streams = true;
  try {
    const pool = machine.catalog().pool(call.destination, call.caller);
    const entered = enter(machine, call);
    release = entered.release;
    const mode = call.streamRecovery ?? pool.streamRecovery;
    const additions = createAdditions(machine.additions);
    const { account } = call;
    const { seesTrail } = call.caller;
    const opener: Opener<Item> = (approach) => (lease) =>
      firstContent(machine, lane, approach, { lease, additions, account, seesTrail, record: call.record });
    // Whoever gives a stream up while it is about to go on elsewhere must end that, too.
    const presence = entered.options.cancellation;
    const leaving = mode === "fail" ? undefined : linkedCancellation(presence);
    const cancellation = leaving?.source ?? presence;
    const attempt = opener({
      request: (target, asked) => lane.request(target, "stream", asked),
      reader: (target) => lane.reader(target, mode),
    });
    const opened = await machine.router.open(pool, attempt, { ...entered.options, cancellation });
    call.record.trail = opened.trail;
    return committed({
      ...{ machine, opened, opener, cancellation, callerDeadline: entered.callerDeadline },
      leave: leaving && ((reason) => leaving.source.cancel(reason)),
      release() {
        leaving?.unlink();
        entered.release();
      },
    });
  } catch (error) {
    if (error instanceof RouteError) call.record.trail = error.trail;
    release();
    throw error instanceof RouteError ? CallError.ofRoute(error) : CallError.from(error);
  }
}

async function firstContent<Item>(
  { upstream, clock }: Machine,
  lane: Lane<unknown, Item>,
  approach: Approach<Item>,
  {
    lease,
    additions,
    account,
    seesTrail,
    record,
  }: {
    readonly lease: Lease<Target>;
    readonly additions: CallAdditions;
    readonly account: ByteAccount;
    readonly seesTrail: boolean;
    readonly record: RequestRecord;
  },
): Promise<Opening<Item>> {
  const { endpoint: target, key, cancellation } = lease;
  const request = withTrace(approach.request(target, additions.for(target)), lease, record);
  const answer = await upstream.send(target, key, request, cancellation);
  noteHead(lease, answer);
  if (!isSuccess(answer)) {
    const fault = withoutKey(lane.fault(await errorAnswer(answer, clock)), key);
    throw additions.blamed(target, request, new FaultError(fault));
  }
  const { body } = answer;
  const reader = approach.reader(target, request, seesTrail ? lease.attempt : undefined);
  const items: Item[] = [];
  const whole = request.mode === "unary" ? await wholeAnswer(answer, account) : undefined;
  // A stream may say that it has ended before it says whether it was an answer.
  const late = new LateReads(body, clock);
  let finished = false;
  for (let heldBytes = 0; ; ) {
    // A whole answer is read as the stream that it might have been, in one piece with its end.
    const next = () => (finished ? late.read() : body.read());
    const bytes = whole ? blaming(() => understood(lease, () => lane.streamed(target, whole))) : await next();
    const ended = typeof bytes === "string";
    const read = blaming(() => understood(lease, () => (ended ? reader.end() : reader.push(bytes))));
    items.push(...read.items);
    ({ finished } = read);
    heldBytes += ended ? 0 : bytes.length;
    // Until an endpoint that was given a text has said something new, it may be answering anew: then it is asked again without.
    if (read.content && (!request.prefilled || items.length > 0)) {
      additions.succeeded(target);
      return { body, reader, ended: ended || whole !== undefined, first: { ...read, items } };
    }
    if (read.fault) {
      const fault = { ...withoutKey(read.fault, key), status: answer.status };
      throw additions.blamed(target, request, new FaultError(fault));
    }
    if (ended || read.done) throw new FaultError({ kind: "truncated", status: answer.status });
    if (heldBytes > maxPreambleBytes) {
      throw new FaultError({ kind: "malformed", status: answer.status, message: "a stream without content" });
    }
  }

  /** An endpoint that was given a text may not have gone on with it; a whole answer may be a refusal after all. */
  function blaming<T>(step: () => T): T {
    try {
      return step();
    } catch (error) {
      throw error instanceof FaultError ? additions.blamed(target, request, error) : error;
    }
  }
}

/** One attempt's stream from its first content to its end. It settles nothing. */
class Flow<Item> {
  /** Bytes that the upstream has sent since its first content. */
  bytes = 0;
  readonly lease: Lease<Target>;
  readonly body: UpstreamBody;
  readonly reader: StreamReader<Item>;
  readonly #late: LateReads;
  #read: StreamRead<Item>;
  #isFirst = true;
  #over: boolean;

  constructor({ body, reader, first, ended }: Opening<Item>, lease: Lease<Target>, clock: Clock) {
    this.lease = lease;
    this.body = body;
    this.reader = reader;
    this.#late = new LateReads(body, clock);
    this.#read = first;
    this.#over = ended;
  }

  /** @throws FaultError when the stream breaks off; the cancellation's reason when it is called off */
  async next(): Promise<{ items: readonly Item[]; last: boolean }> {
    const { lease } = this;
    if (!this.#isFirst) {
      if (this.#read.fault) throw new FaultError(withoutKey(this.#read.fault, lease.key));
      await this.#advance();
    }
    this.#isFirst = false;
    const { usage, fault, done, items } = this.#read;
    noteUsage(lease, usage);
    const last = fault === undefined && (done || this.#over);
    // What came before a fault in the same read is still good: the fault is told by the next call.
    if (fault && items.length === 0) throw new FaultError(withoutKey(fault, lease.key));
    return { items, last };
  }

  async #advance(): Promise<void> {
    if (this.#over) throw new FaultError({ kind: "truncated" });
    const { finished } = this.#read;
    const bytes = finished ? await this.#late.read() : await this.body.read(this.lease.endpoint.idleMs);
    if (bytes === "silence" && !finished) throw new FaultError({ kind: "timed_out", phase: "idle" });
    this.#over = typeof bytes === "string";
    if (typeof bytes !== "string") this.bytes += bytes.length;
    this.#read = understood(this.lease, () =>
      typeof bytes === "string" ? this.reader.end() : this.reader.push(bytes),
    );
    if (!this.#read.content) return;
    this.lease.progressed();
    this.#late.prolong();
  }
}

function committed<Item>({
  machine: { clock, maxDurationMs, streamLimits },
  opened,
  opener,
  cancellation,
  callerDeadline,
  leave,
  release,
}: {
  readonly machine: Machine;
  readonly opened: Opened<Opening<Item>, Target>;
  readonly opener: Opener<Item>;
  readonly cancellation: Cancellation;
  readonly callerDeadline: number;
  /** Ends whatever the stream is doing; undefined for one that does not go on elsewhere: it is just settled. */
  readonly leave: ((reason: unknown) => void) | undefined;
  readonly release: () => void;
}): OpenStream<Item> {
  const { trail } = opened;
  let flow: Flow<Item>;
  /** Set when the stream is over: nothing may be settled twice, and nothing more comes. */
  let failure: CallError | undefined;
  let settled = false;
  let recovered = false;
  let unlink = () => {};
  let earlierBytes = 0;
  const disarmTotal = clock.schedule(streamLimits.durationMs, () => leaveAll(tooLong("duration")));

  function take({ value, lease }: { readonly value: Opening<Item>; readonly lease: Lease<Target> }): void {
    flow = new Flow(value, lease, clock);
    // From the signal itself: whoever waits for a reader that has left would wait for ever.
    unlink = lease.cancellation.onCancel((reason) => settle(reason));
  }

  function settle(error?: unknown): void {
    if (settled) return;
    settled = true;
    unlink();
    disarmTotal();
    const { lease, body } = flow;
    lease.note(flow.reader.facts());
    if (error === undefined) {
      lease.settle({ ok: true });
      void letEnd(body, clock);
    } else {
      failure = CallError.from(error, trail);
      noteUsage(lease, flow.reader.costSoFar());
      lease.settle({ ok: false, error });
      body.cancel();
    }
    // Last: whoever is told that the call is over finds its trail with its end.
    release();
  }

  /** Goes on at another endpoint. @returns whether it does; else the stream has failed, and is settled */
  async function goOn(error: unknown): Promise<boolean> {
    const mayGoOn = !settled && !recovered && !cancellation.cancelled && callerDeadline - clock.now() >= minAttemptMs;
    const recovery = mayGoOn ? flow.reader.recovery() : undefined;
    if (recovery === undefined || typeof recovery === "string") {
      if (recovery !== undefined) flow.lease.note({ hint: `not gone on with: ${recovery}` });
      settle(error);
      return false;
    }
    recovered = true;
    unlink();
    noteUsage(flow.lease, flow.reader.costSoFar());
    flow.lease.note(flow.reader.facts());
    flow.body.cancel();
    earlierBytes += flow.bytes;
    const next = await opened.recover(error, opener(recovery), clock.now() + maxDurationMs);
    if (next) {
      take(next);
      return true;
    }
    // The broken attempt is settled already.
    settled = true;
    disarmTotal();
    failure ??= CallError.from(cancellation.cancelled ? cancellation.reason : error, trail);
    release();
    return false;
  }

  take(opened);
  return {
    provider: opened.lease.endpoint.provider,
    trail,
    async next() {
      for (;;) {
        try {
          if (failure) throw failure;
          const batch = await flow.next();
          if (batch.last) settle();
          else if (earlierBytes + flow.bytes > streamLimits.bytes) settle(tooLong("size"));
          return batch;
        } catch (error) {
          if (!(await goOn(error))) throw failure ?? CallError.from(error, trail);
        }
      }
    },
    close(reason) {
      leaveAll(reason());
    },
  };

  function leaveAll(reason: unknown): void {
    if (!settled) (leave ?? settle)(reason);
  }
}

function tooLong(limit: "duration" | "size"): FaultError {
  return new FaultError({ kind: "stream_limit", limit });
}
