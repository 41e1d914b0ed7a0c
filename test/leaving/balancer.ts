import net, { type AddressInfo, type Socket } from "node:net";

/** A balancer as most are: it hands connections on by TCP, and asks each backend whether it is ready. */
export interface Balancer {
  readonly port: number;
  /** Backends that are sent new connections now, by their ports. */
  readonly ready: readonly number[];
  /** Resolves when a backend is ready, or is not. */
  until(port: number, isReady: boolean): Promise<void>;
  close(): void;
}

/** How often backends are asked. */
const pollMs = 100;

/** Starts a balancer in front of ports of this machine, on a port of its own. */
export async function startBalancer(ports: readonly number[]): Promise<Balancer> {
  const ready = new Set<number>();
  const sockets = new Set<Socket>();
  let turn = 0;
  let waiting: { readonly port: number; readonly isReady: boolean; resolve(): void }[] = [];

  const poll = async (port: number) => {
    const isReady = await fetch(`http://127.0.0.1:${port}/readyz`, { headers: { connection: "close" } }).then(
      async (response) => {
        await response.arrayBuffer();
        return response.status === 200;
      },
      () => false,
    );
    if (isReady) ready.add(port);
    else ready.delete(port);
    const woken = waiting.filter((each) => ready.has(each.port) === each.isReady);
    waiting = waiting.filter((each) => ready.has(each.port) !== each.isReady);
    for (const { resolve } of woken) resolve();
  };
  const pollAll = async () => void (await Promise.all(ports.map(poll)));
  const timer = setInterval(pollAll, pollMs);

  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const backends = [...ready];
    const port = backends[turn++ % backends.length];
    client.on("error", () => {});
    if (port === undefined) {
      client.resetAndDestroy();
      return;
    }
    const backend = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    backend.on("error", () => {});
    for (const [one, other] of [
      [client, backend],
      [backend, client],
    ] as const) {
      sockets.add(one);
      one.pipe(other);
      one.on("close", () => {
        sockets.delete(one);
        // What was read of one has been handed to the other by now.
        if (one.errored) other.destroy();
        else other.end();
      });
    }
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  await pollAll();
  return {
    port: (server.address() as AddressInfo).port, // a TCP server's address is one
    get ready() {
      return [...ready];
    },
    until: (port, isReady) =>
      ready.has(port) === isReady
        ? Promise.resolve()
        : new Promise((resolve) => waiting.push({ port, isReady, resolve })),
    close() {
      clearInterval(timer);
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
