import { buildConnector, type Client, type Dispatcher } from "undici";
import { type ConnectedHandler, PooledClient } from "./pooled-client.ts";

/**
 * Connections to one origin, as many as there are requests at once. Undici's own pool looks through all of its connections for one
 * that is free, twice a request; a thousand open streams made each request beside them dearer by half. This one keeps the free ones
 * apart, and gives out that which was used last.
 */
export class ConnectionPool {
  readonly #origin: URL;
  readonly #options: Client.Options;
  readonly #all = new Set<PooledClient>();
  readonly #free: PooledClient[] = [];
  #isClosed = false;

  constructor(
    origin: string,
    { connect, ...options }: Omit<Client.Options, "connect"> & { readonly connect: buildConnector.BuildOptions },
  ) {
    this.#origin = new URL(origin);
    // One for all: it remembers TLS sessions.
    this.#options = { ...options, connect: buildConnector(connect), pipelining: 1 };
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: ConnectedHandler): void {
    const client = (this.#isClosed ? undefined : this.#free.pop()) ?? this.#open();
    // Whoever comes too late is told so, by a connection that is closed.
    if (this.#isClosed) void client.destroy();
    client.isFree = false;
    client.dispatch(options, handler);
    // What cannot be written as HTTP has been refused, and the connection has nothing to become free of.
    if (client.stats.size === 0) this.#release(client);
  }

  /** Resolves when what is under way has ended, and the connections with it. */
  async close(): Promise<void> {
    this.#isClosed = true;
    // One that is destroyed meanwhile has ended, too.
    await Promise.all([...this.#all].map((client) => client.close().catch(() => {})));
  }

  async destroy(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#all].map((client) => client.destroy()));
  }

  #open(): PooledClient {
    const client = new PooledClient(this.#origin, this.#options);
    this.#all.add(client);
    client.on("drain", () => this.#release(client));
    return client;
  }

  /** Two requests on one connection would wait for each other. */
  #release(client: PooledClient): void {
    if (client.isFree) return;
    client.isFree = true;
    this.#free.push(client);
  }
}
