import type { IncomingHttpHeaders } from "node:http";
import type { Fault } from "./fault.ts";

/** A request that a simulated provider has received. */
export interface SeenRequest {
  /** Counts from 1 over the provider's life. */
  readonly number: number;
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** As it came; empty when it did not come whole. */
  readonly body: string;
  /** The body as JSON; undefined when it is none. */
  readonly json: unknown;
  /** The model asked for, without the fault it may name; undefined when there is none. */
  readonly model: string | undefined;
  /** What went wrong; of kind `none` for a healthy answer. */
  readonly fault: Fault;
  /** Whether the client left before it had got all that was meant for it. Live. */
  readonly aborted: boolean;
  /** Whether all that was meant for it has been sent, a cut being an end too. Live. */
  readonly finished: boolean;
}

/** A seen request while it is being served. */
export type OpenRequest = { -readonly [Field in keyof SeenRequest]: SeenRequest[Field] };

/** How many requests are remembered. */
const mostRequests = 1000;
/** How long their bodies may be together, in UTF-16 units: a thousand bodies of the greatest size would fill the machine. */
const mostText = 2 ** 27;

/** Remembers the last requests, and lets others wait for them. */
export class SeenRequests {
  /** Whether the provider itself is closing its connections, so that no client is to be blamed for it. */
  closing = false;
  readonly #requests: OpenRequest[] = [];
  #text = 0;
  #open = 0;
  #total = 0;
  #waiting: { ready: () => boolean; resolve: () => void }[] = [];

  /** The last requests, the oldest first. */
  get list(): readonly SeenRequest[] {
    return this.#requests;
  }

  /** How many requests are being received or answered. */
  get open(): number {
    return this.#open;
  }

  /** How many requests have been received in all. */
  get total(): number {
    return this.#total;
  }

  /** A request begins to arrive. */
  opened(): void {
    this.#open++;
  }

  /** A request has arrived, or will not any more. */
  arrived(request: OpenRequest): void {
    request.number = ++this.#total;
    this.#requests.push(request);
    this.#text += request.body.length;
    while (this.#requests.length > mostRequests || (this.#text > mostText && this.#requests.length > 1)) {
      this.#text -= this.#requests.shift()?.body.length ?? 0;
    }
    this.#wake();
  }

  /** A request is over. */
  closed(): void {
    this.#open--;
    this.#wake();
  }

  /** Resolves when something is so, at once if it already is. */
  when(ready: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      if (ready()) resolve();
      else this.#waiting.push({ ready, resolve });
    });
  }

  #wake(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = waiting.filter(({ ready }) => !ready());
    for (const { ready, resolve } of waiting) if (ready()) resolve();
  }
}
