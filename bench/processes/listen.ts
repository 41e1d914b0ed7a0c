import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * Listens on any free port of 127.0.0.1 and tells it on standard output, in the words of the gateway's own command line.
 * @param failing another server, for the same port of 127.0.0.2
 */
export function listen(server: Server, failing?: Server): void {
  keepOpen(server);
  server.listen({ port: 0, host: "127.0.0.1", backlog }, () => {
    const { port } = server.address() as AddressInfo; // a TCP server's address is one
    const tell = () => console.log(`listens on http://127.0.0.1:${port}`);
    if (!failing) return tell();
    keepOpen(failing);
    failing.listen({ port, host: "127.0.0.2", backlog }, tell);
  });
}

/** Thousands of streams are opened as fast as it goes. */
const backlog = 4096;

/** Connections outlast the pauses between rounds. */
function keepOpen(server: Server): void {
  server.keepAliveTimeout = 120_000;
  server.requestTimeout = 0;
}

/** Where the failing server listens, by the origin of the other one. */
export function failingOrigin(origin: string): string {
  return origin.replace("//127.0.0.1:", "//127.0.0.2:");
}
