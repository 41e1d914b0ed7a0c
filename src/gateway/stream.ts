import { FaultError } from "../chat/fault.ts";
import type { Lane, StreamRead, StreamReader } from "../providers/lane.ts";
import type { Target } from "../providers/target.ts";
import type { UpstreamBody } from "../providers/upstream.ts";
import type { Lease } from "../routing/lease.ts";
import { RouteError } from "../routing/router.ts";
import type { Trail } from "../routing/trail.ts";
import type { Clock } from "../runtime/clock.ts";
import { createAdditions } from "./additions.ts";
import { type Call, CallError, enter, type Machine } from "./call.ts";
import { errorAnswer, isSuccess, letEnd, noteHead, understood, withoutKey } from "./complete.ts";

/** A committed stream: its first content is in hand. */
export interface OpenStream<Item> {
  /** The provider that serves. */
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
/** How long usage and late deltas may come after the last finish reason. */
const afterFinishMs = 1000;

/** What an attempt brings to the commit point. */
interface Opening<Item> {
  readonly body: UpstreamBody;
  readonly reader: StreamReader<Item>;
  readonly first: StreamRead<Item>;
  readonly ended: boolean;
}

/**
 * Opens a stream, whatever its payload is. Until the first content every failure hops on unseen; the promise resolves at the
 * commit point, and from there on a failure is shown.
 * @throws CallError
 */
export async function open<Item>(machine: Machine, call: Call, lane: Lane<unknown, Item>): Promise<OpenStream<Item>> {
  let release = () => {};
  try {
    const pool = machine.catalog().pool(call.destination, call.caller);
    const entered = enter(machine, call);
    release = entered.release;
    const additions = createAdditions(machine.additions);
    const attempt = (lease: Lease<Target>) => firstContent(machine, lane, lease, additions);
    const { value, lease, trail } = await machine.router.open(pool, attempt, entered.options);
    return committed(value, lease, trail, machine.clock, release);
  } catch (error) {
    release();
    throw error instanceof RouteError ? CallError.ofRoute(error) : CallError.from(error);
  }
}

async function firstContent<Item>(
  { upstream, clock }: Machine,
  lane: Lane<unknown, Item>,
  lease: Lease<Target>,
  additions: ReturnType<typeof createAdditions>,
): Promise<Opening<Item>> {
  const { endpoint: target, key, cancellation } = lease;
  const request = lane.request(target, "stream", additions.for(target));
  const answer = await upstream.send(target, key, request, cancellation);
  noteHead(lease, answer);
  if (!isSuccess(answer)) {
    throw additions.blamed(target, request, withoutKey(lane.fault(await errorAnswer(answer, clock)), key));
  }
  const { body } = answer;
  const reader = lane.reader(target);
  const items: Item[] = [];
  for (let heldBytes = 0; ; ) {
    const bytes = await body.read();
    const ended = typeof bytes === "string";
    const read = understood(lease, () => (ended ? reader.end() : reader.push(bytes)));
    items.push(...read.items);
    heldBytes += ended ? 0 : bytes.length;
    if (read.content) {
      additions.succeeded(target);
      return { body, reader, ended, first: { ...read, items } };
    }
    if (read.fault) throw additions.blamed(target, request, { ...withoutKey(read.fault, key), status: answer.status });
    if (ended || read.done) throw new FaultError({ kind: "truncated", status: answer.status });
    if (heldBytes > maxPreambleBytes) {
      throw new FaultError({ kind: "malformed", status: answer.status, message: "a stream without content" });
    }
  }
}

function committed<Item>(
  { body, reader, first, ended }: Opening<Item>,
  lease: Lease<Target>,
  trail: Trail,
  clock: Clock,
  release: () => void,
): OpenStream<Item> {
  const { idleMs } = lease.endpoint;
  let read: StreamRead<Item> = first;
  let isFirst = true;
  let over = ended;
  let finishedAt: number | undefined;
  /** Set when the attempt has been settled: nothing may settle it twice, and nothing more comes. */
  let failure: CallError | undefined;
  let settled = false;
  let unlink = () => {};

  function settle(error?: unknown): void {
    if (settled) return;
    settled = true;
    unlink();
    release();
    if (error === undefined) {
      lease.settle({ ok: true });
      void letEnd(body, clock);
    } else {
      lease.settle({ ok: false, error });
      failure = CallError.from(error, trail);
      body.cancel();
    }
  }
  // From the signal itself: whoever waits for a reader that has left would wait for ever.
  unlink = lease.cancellation.onCancel(settle);

  /** Reads what may still follow a whole answer. Neither silence nor a cut makes it less whole, and pings do not prolong it. */
  async function afterFinish(): Promise<Buffer | "end" | "silence"> {
    finishedAt ??= clock.now();
    const leftMs = finishedAt + afterFinishMs - clock.now();
    if (leftMs <= 0) return "silence";
    try {
      return await body.read(leftMs);
    } catch (error) {
      if (error instanceof FaultError) return "end";
      throw error;
    }
  }

  async function advance(): Promise<void> {
    if (over) throw new FaultError({ kind: "truncated" });
    const bytes = read.finished ? await afterFinish() : await body.read(idleMs);
    if (bytes === "silence" && !read.finished) throw new FaultError({ kind: "timed_out", phase: "idle" });
    over = typeof bytes === "string";
    read = understood(lease, () => (typeof bytes === "string" ? reader.end() : reader.push(bytes)));
    if (!read.content) return;
    lease.progressed();
    // Pings do not prolong the wait for what may follow; content does: then the reason was said too early.
    finishedAt = undefined;
  }

  return {
    provider: lease.endpoint.provider,
    trail,
    async next() {
      try {
        if (failure) throw failure;
        if (!isFirst) {
          if (read.fault) throw new FaultError(withoutKey(read.fault, lease.key));
          await advance();
        }
        isFirst = false;
        if (read.usage) lease.note({ usage: read.usage });
        const last = read.fault === undefined && (read.done || over);
        if (last) settle();
        // What came before a fault in the same read is still good: the fault is told by the next call.
        else if (read.fault && read.items.length === 0) throw new FaultError(withoutKey(read.fault, lease.key));
        return { items: read.items, last };
      } catch (error) {
        settle(error);
        throw failure ?? CallError.from(error, trail);
      }
    },
    close(reason) {
      if (!settled) settle(reason());
    },
  };
}
