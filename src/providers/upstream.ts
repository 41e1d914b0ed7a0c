import type { Dispatcher } from "undici";
import { FaultError } from "../chat/fault.ts";
import type { Key } from "../routing/endpoint.ts";
import type { Cancellation } from "../runtime/cancellation.ts";
import type { Clock } from "../runtime/clock.ts";
import { ConnectionPool } from "./connection-pool.ts";
import type { HttpRequest } from "./lane.ts";
import type { ConnectedHandler, Connection } from "./pooled-client.ts";
import type { Headers } from "./retry-after.ts";
import type { Target } from "./target.ts";
import { transportFault } from "./transport-fault.ts";

/** The one place that does I/O with providers. It retries nothing: that is routing's to decide. */
export interface Upstream {
  /**
   * Sends a request and waits for the answer's head.
   * @throws FaultError when no answer came; the cancellation's reason when it was called off
   */
  send(target: Target, key: Key | undefined, request: HttpRequest, cancellation: Cancellation): Promise<UpstreamAnswer>;
  /** Lets go of the connections to all but these, as soon as nothing uses them. */
  keepOnly(targets: readonly Pick<Target, "origin" | "connectMs">[]): void;
  /** Ends every connection at once. */
  close(): Promise<void>;
}

/** The head of an answer, and its body to be read. */
export interface UpstreamAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: UpstreamBody;
}

/** A body that is read at the reader's pace: unread bytes stop the socket. */
export interface UpstreamBody {
  /**
   * What has come since the last read, or the next thing that comes.
   * @param withinMs how long to wait; then `"silence"`
   * @throws FaultError when the body breaks off; the cancellation's reason when it was called off
   */
  read(withinMs?: number): Promise<Buffer | "end" | "silence">;
  /**
   * All of it, once it has come; nothing else may be read before.
   * @param take told of each piece as it comes; what it throws ends the body, and is thrown
   */
  whole(take: (bytes: number) => void): Promise<Buffer>;
  /** Gives up the rest, and the connection with it. Harmless when the body has ended. */
  cancel(): void;
}

/** Unread bytes at which the socket is stopped: as much again may be on its way out, and in undici's hands. */
const highWaterBytes = 64 * 1024;
/** Given by one read at most: what is made of it is many times as large, and may wait for a client that does not read. */
const mostReadBytes = 16 * 1024;
/** Providers send small heads; more is an attack or a mistake. */
const maxHeaderBytes = 64 * 1024;

/**
 * Opens pools of connections as they are needed, one for each origin.
 * @param userAgent how the gateway names itself: some providers turn the nameless away
 */
export function createUpstream({ clock, userAgent }: { clock: Clock; userAgent: string }): Upstream {
  const pools = new Map<string, ConnectionPool>();
  const leaving = new Set<ConnectionPool>();
  /** The same by target, for names are dear to make. */
  let poolsOfTargets = new WeakMap<Target, ConnectionPool>();

  function poolOf(target: Target): ConnectionPool {
    const known = poolsOfTargets.get(target);
    if (known) return known;
    const { origin, connectMs } = target;
    const name = nameOf(target);
    let pool = pools.get(name);
    if (!pool) {
      // Undici's own time limits are off: they are too coarse, and the engine has better ones.
      pool = new ConnectionPool(origin, {
        headersTimeout: 0,
        bodyTimeout: 0,
        connect: { allowH2: false, timeout: connectMs },
        maxHeaderSize: maxHeaderBytes,
      });
      pools.set(name, pool);
    }
    poolsOfTargets.set(target, pool);
    return pool;
  }

  return {
    send(target, key, request, cancellation) {
      if (cancellation.cancelled) return Promise.reject(cancellation.reason);
      return new Promise((resolve, reject) => {
        const exchange = new Exchange(clock, cancellation, resolve, reject);
        const headers: Record<string, string> = { "user-agent": userAgent, ...request.headers };
        if (key) headers["authorization"] = `Bearer ${key.secret.reveal()}`;
        const { method = "POST", path, body = null } = request;
        poolOf(target).dispatch({ method, path: target.basePath + path, headers, body }, exchange);
      });
    },
    keepOnly(targets) {
      const kept = new Set(targets.map(nameOf));
      poolsOfTargets = new WeakMap();
      for (const [name, pool] of pools) {
        if (kept.has(name)) continue;
        pools.delete(name);
        leaving.add(pool);
        // It waits for what is under way.
        void pool.close().finally(() => leaving.delete(pool));
      }
    },
    async close() {
      await Promise.all([...pools.values(), ...leaving].map((pool) => pool.destroy()));
    },
  };
}

/** What a pool of connections is for. */
function nameOf({ origin, connectMs }: Pick<Target, "origin" | "connectMs">): string {
  return `${origin} ${connectMs}`;
}

/** Somebody who waits for all of a body. */
type Gatherer = { take(bytes: number): void; resolve(body: Buffer): void; reject(error: unknown): void };
type Waiter = { resolve(read: Buffer | "end" | "silence"): void; reject(error: unknown): void; stopTimer(): void };

/** One request on its socket: a handler to undici, a body to the reader. */
class Exchange implements ConnectedHandler, UpstreamBody {
  readonly #clock: Clock;
  readonly #answered: (answer: UpstreamAnswer) => void;
  readonly #failed: (error: unknown) => void;
  readonly #unlink: () => void;
  #controller: Dispatcher.DispatchController | undefined;
  #connection: Connection | undefined;
  /** Whether the connection had served before; it may have been replaced since it was asked for. */
  #reused = false;
  #sentAt: number | undefined;
  #answerBegan = false;
  #chunks: Buffer[] = [];
  #queuedBytes = 0;
  #end: { readonly error?: unknown } | undefined;
  #waiter: Waiter | undefined;
  #gatherer: Gatherer | undefined;
  #calledOff = false;

  constructor(
    clock: Clock,
    cancellation: Cancellation,
    answered: (answer: UpstreamAnswer) => void,
    failed: (error: unknown) => void,
  ) {
    this.#clock = clock;
    this.#answered = answered;
    this.#failed = failed;
    this.#unlink = cancellation.onCancel((reason) => this.#callOff(reason));
  }

  onConnection(connection: Connection): void {
    this.#connection = connection;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    this.#reused = this.#hasServed();
    this.#sentAt = this.#clock.now();
    if (this.#calledOff) controller.abort(new Error("called off"));
  }

  onResponseStarted(): void {
    this.#answerBegan = true;
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Headers): void {
    if (status >= 200) this.#answered({ status, headers, body: this });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#gatherer) {
      this.#chunks.push(chunk);
      this.#account(this.#gatherer, chunk.length);
      return;
    }
    const waiter = this.#takeWaiter();
    if (waiter && chunk.length <= mostReadBytes) {
      waiter.resolve(chunk);
      return;
    }
    this.#chunks.push(chunk);
    this.#queuedBytes += chunk.length;
    waiter?.resolve(this.#takeQueued());
    if (this.#queuedBytes >= highWaterBytes) controller.pause();
  }

  onResponseEnd(): void {
    if (this.#connection) this.#connection.answers += 1;
    this.#finish({});
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    const sent = this.#sentAt !== undefined;
    const fault = transportFault(error, {
      sent,
      answered: this.#answerBegan,
      reused: sent ? this.#reused : this.#hasServed(),
      elapsedMs: this.#sentAt === undefined ? 0 : this.#clock.now() - this.#sentAt,
    });
    this.#finish({ error: new FaultError(fault, { cause: error }) });
  }

  read(withinMs?: number): Promise<Buffer | "end" | "silence"> {
    if (this.#chunks.length > 0) {
      const wasFull = this.#queuedBytes >= highWaterBytes;
      const bytes = this.#takeQueued();
      // It may bring the next bytes at once, which may fill the queue again.
      if (wasFull && this.#queuedBytes < highWaterBytes) this.#controller?.resume();
      return Promise.resolve(bytes);
    }
    if (this.#end) return "error" in this.#end ? Promise.reject(this.#end.error) : Promise.resolve("end");
    return new Promise((resolve, reject) => {
      const stopTimer =
        withinMs === undefined
          ? () => {}
          : this.#clock.schedule(withinMs, () => this.#takeWaiter()?.resolve("silence"));
      this.#waiter = { resolve, reject, stopTimer };
    });
  }

  whole(take: (bytes: number) => void): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const gatherer = { take, resolve, reject };
      // What has come before is as much as one reader of a stream would have let come.
      const wasFull = this.#queuedBytes >= highWaterBytes;
      this.#account(gatherer, this.#queuedBytes);
      this.#queuedBytes = 0;
      if (!this.#end) this.#gatherer = gatherer;
      else if ("error" in this.#end) reject(this.#end.error);
      else resolve(this.#joined());
      if (wasFull) this.#controller?.resume();
    });
  }

  cancel(): void {
    this.#callOff(new Error("the rest is not wanted"));
  }

  #hasServed(): boolean {
    return (this.#connection?.answers ?? 0) > 0;
  }

  #callOff(reason: unknown): void {
    if (this.#end) return;
    this.#calledOff = true;
    this.#chunks = [];
    this.#finish({ error: reason });
    this.#controller?.abort(reason instanceof Error ? reason : new Error("called off"));
  }

  #finish(end: { readonly error?: unknown }): void {
    if (this.#end) return;
    this.#end = end;
    this.#unlink();
    const waiter = this.#takeWaiter();
    const gatherer = this.#gatherer;
    this.#gatherer = undefined;
    if ("error" in end) {
      waiter?.reject(end.error);
      gatherer?.reject(end.error);
      this.#failed(end.error);
    } else {
      waiter?.resolve("end");
      gatherer?.resolve(this.#joined());
    }
  }

  /** Tells of bytes that have come; whoever does not want them ends the body. */
  #account({ take, reject }: Gatherer, bytes: number): void {
    try {
      take(bytes);
    } catch (error) {
      reject(error);
      this.#callOff(error);
    }
  }

  #joined(): Buffer {
    return this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks); // there is one
  }

  /** The first of what is queued, as much as one read gives. */
  #takeQueued(): Buffer {
    const all = this.#joined();
    const bytes = all.subarray(0, mostReadBytes);
    this.#chunks = bytes.length < all.length ? [all.subarray(bytes.length)] : [];
    this.#queuedBytes -= bytes.length;
    return bytes;
  }

  #takeWaiter(): Waiter | undefined {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.stopTimer();
    return waiter;
  }
}
