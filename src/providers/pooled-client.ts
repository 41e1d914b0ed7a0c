import { Client, type Dispatcher } from "undici";

/** One pooled connection, as far as its requests must know it. */
export interface Connection {
  /** Whole answers that it has brought. 0: it is new, or not there yet. */
  answers: number;
}

/** A handler that is told on which connection its request goes. */
export interface ConnectedHandler extends Dispatcher.DispatchHandler {
  onConnection(connection: Connection): void;
}

/**
 * A client of one connection that tells each request how often that connection has served: a reset means something else on one
 * that has just been opened than on one that has lain idle. Its requests count their own answers.
 */
export class PooledClient extends Client {
  /** Whether its pool may give it out. */
  isFree = false;
  readonly #connection: Connection = { answers: 0 };

  constructor(origin: URL, options: Client.Options) {
    super(origin, options);
    const renew = () => {
      this.#connection.answers = 0;
    };
    this.on("connect", renew).on("disconnect", renew);
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    (handler as Partial<ConnectedHandler>).onConnection?.(this.#connection); // whoever does not ask is not told
    return super.dispatch(options, handler);
  }
}
