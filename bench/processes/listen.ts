import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

/** Listens on any free port of 127.0.0.1 and tells it on standard output, in the words of the gateway's own command line. */
export function listen(server: Server): void {
  // Connections outlast the pauses between rounds.
  server.keepAliveTimeout = 120_000;
  server.requestTimeout = 0;
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as AddressInfo; // a TCP server's address is one
    console.log(`listens on http://127.0.0.1:${port}`);
  });
}
