import { connect, createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";

/** A line into a server, on which everything can be heard. */
export interface Tap {
  readonly baseUrl: string;
  /** How many of its connections to the server are open. */
  readonly open: number;
  /** All that the server has said, as it stood on the wire. */
  said(): string;
  /** All that the server has been asked. */
  asked(): string;
}

/** Opens a line into the server at an address such as `http://127.0.0.1:8080`; it is closed with the test. */
export async function openTap(address: string): Promise<Tap> {
  const { hostname, port } = new URL(address);
  const sockets = new Set<Socket>();
  const said: Buffer[] = [];
  const asked: Buffer[] = [];
  const server = createServer((near) => {
    const far = connect(Number(port), hostname);
    sockets.add(far);
    far.on("close", () => sockets.delete(far));
    far.on("data", (bytes) => said.push(bytes));
    near.on("data", (bytes) => asked.push(bytes));
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.setNoDelay(true);
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
    }
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const own = server.address();
  if (own === null || typeof own === "string") throw new Error("a TCP server without a port");
  return {
    baseUrl: `http://127.0.0.1:${own.port}/v1`,
    get open() {
      return sockets.size;
    },
    said: () => Buffer.concat(said).toString(),
    asked: () => Buffer.concat(asked).toString(),
  };
}
