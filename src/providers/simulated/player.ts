import type { ServerResponse } from "node:http";
import type { Clock } from "../../runtime/clock.ts";
import type { Headers, Step } from "./step.ts";

/** How steps are played. */
export interface Playing {
  clock: Clock;
  tokensPerSecond: number;
  eventPerWrite: boolean;
  /** Sent with every answer beside its own headers. */
  headers: Headers;
}

/** Text gathered before it is written in any case: large enough to be cheap, small enough not to hold a long stream in memory. */
const fullAt = 32 * 1024;

/**
 * Carries out steps on a response: the only place of the provider that writes. It never throws for a client that leaves:
 * it is stopped, and its timer goes with it.
 */
export class Player {
  readonly #response: ServerResponse;
  readonly #playing: Playing;
  #left = false;
  #finished = false;
  #wake: (() => void) | undefined;
  #pending = "";
  #headSent = true;
  /** When the next token, or byte, is due; undefined before the first. */
  #due: number | undefined;

  constructor(response: ServerResponse, playing: Playing) {
    this.#response = response;
    this.#playing = playing;
  }

  /** Whether all has been sent, a cut being an end too. */
  get finished(): boolean {
    return this.#finished || this.#response.writableFinished;
  }

  /** Plays the steps to their end, or until the client leaves. */
  async play(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      // Asked only where time may have passed, so that an answer without pauses is written in one go.
      const pause = this.#step(step);
      if (pause) await pause;
      if (this.#left) return;
    }
  }

  /** To be called when the response has closed: nothing more is done, and no timer stays behind. */
  stop(): void {
    this.#left = true;
    this.#wake?.();
  }

  #step(step: Step): Promise<void> | undefined {
    switch (step.kind) {
      case "head":
        this.#response.writeHead(step.status, { ...this.#playing.headers, ...step.headers });
        this.#headSent = false;
        return undefined;
      case "write":
        return this.#write(step.bytes, step.paced === true);
      case "drip":
        return this.#drip(step.bytes, step.msPerByte);
      case "processing":
        this.#response.writeProcessing();
        return undefined;
      case "wait":
        return this.#wait(step.ms);
      case "silence":
        return this.#wait(undefined);
      case "end":
        this.#response.end(this.#taken());
        return undefined;
      case "cut":
        return this.#break(() => this.#response.req.socket.destroy());
      case "reset":
        return this.#break(() => this.#response.req.socket.resetAndDestroy());
    }
  }

  #write(bytes: string | Uint8Array, paced: boolean): Promise<void> | undefined {
    const wait = paced ? this.#untilDue(1000 / this.#playing.tokensPerSecond) : 0;
    return wait > 0 ? this.#wait(wait).then(() => this.#put(bytes)) : this.#put(bytes);
  }

  #put(bytes: string | Uint8Array): Promise<void> | undefined {
    if (this.#left) return undefined;
    if (typeof bytes === "string") {
      this.#pending += bytes;
      if (this.#playing.eventPerWrite) return this.#flushed();
      return this.#pending.length >= fullAt && !this.#flush() ? this.#until("drain") : undefined;
    }
    this.#flush();
    return this.#response.write(bytes) ? undefined : this.#until("drain");
  }

  async #drip(bytes: string | Uint8Array, msPerByte: number): Promise<void> {
    for (const byte of Buffer.from(bytes)) {
      const wait = this.#untilDue(msPerByte);
      if (wait > 0) await this.#wait(wait);
      this.#flush();
      await this.#sent(Uint8Array.of(byte));
      if (this.#left) return;
    }
  }

  /** Tokens and bytes are due at even distances from the first one, however late the timers are. */
  #untilDue(intervalMs: number): number {
    if (intervalMs === 0) return 0;
    const now = this.#playing.clock.now();
    const due = this.#due ?? now;
    this.#due = due + intervalMs;
    return due - now;
  }

  async #break(close: () => void): Promise<void> {
    if (this.#pending !== "" || !this.#headSent) await this.#flushed();
    if (this.#left) return;
    this.#finished = true;
    close();
  }

  #taken(): string {
    const text = this.#pending;
    this.#pending = "";
    this.#headSent = true;
    return text;
  }

  /** Writes what has gathered. False when the connection is full. */
  #flush(): boolean {
    if (this.#pending !== "") return this.#response.write(this.#taken());
    if (!this.#headSent) this.#response.flushHeaders();
    this.#headSent = true;
    return true;
  }

  /** Writes what has gathered, and waits until it has left the process. */
  #flushed(): Promise<void> | undefined {
    if (this.#pending !== "") return this.#sent(this.#taken());
    this.#flush();
    return undefined;
  }

  #sent(bytes: string | Uint8Array): Promise<void> {
    return this.#pause((resume) => {
      this.#response.write(bytes, resume);
    });
  }

  #until(event: "drain"): Promise<void> {
    return this.#pause((resume) => this.#response.once(event, resume));
  }

  /** Lets time pass; for ever without a number. What has gathered goes out first. */
  async #wait(ms: number | undefined): Promise<void> {
    if (!this.#flush()) await this.#until("drain");
    let cancel = () => {};
    await this.#pause((resume) => {
      if (ms !== undefined) cancel = this.#playing.clock.schedule(ms, resume);
    });
    cancel();
  }

  /** Resolves when resumed, or when the client leaves. */
  #pause(begin: (resume: () => void) => void): Promise<void> {
    if (this.#left) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = resolve;
      begin(resolve);
    });
  }
}
