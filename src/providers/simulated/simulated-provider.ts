import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Clock } from "../../runtime/clock.ts";
import type { Rng } from "../../runtime/rng.ts";
import type { Behaviour } from "./behaviour.ts";
import { Endpoints } from "./endpoints.ts";
import type { SeenRequest } from "./seen-request.ts";
import { SeenRequests } from "./seen-request.ts";
import { serve } from "./serve.ts";

/** A running provider that answers as OpenAI does, and misbehaves as told. */
export interface SimulatedProvider {
  readonly name: string;
  /** `http://127.0.0.1:PORT/v1` */
  readonly baseUrl: string;
  /** The last 1,000 requests, the oldest first; fewer when their bodies are huge. A request is here once its body has been read. Live. */
  readonly seen: readonly SeenRequest[];
  /** Requests that are being received or answered now. */
  readonly open: number;
  /**
   * Changes how it behaves from the next request on. What is left out stays.
   * @throws TypeError when a fault among the changes is none
   */
  behave(changes: Partial<Behaviour>): void;
  /** Resolves when it has received `count` requests in its life; at once if it has. */
  arrived(count: number): Promise<void>;
  /** Resolves when no request is open; at once if none is. */
  idle(): Promise<void>;
  /** Stops at once: open connections are destroyed, and the port refuses. Harmless when called twice. */
  close(): Promise<void>;
}

/** How a simulated provider is started. */
export type SimulatedProviderOptions = {
  /** Part of greetings and of the `system_fingerprint`. Default `simulated`. */
  name?: string;
  /** Default 0: any free one. */
  port?: number;
  clock: Clock;
  /** Drawn from once, for the ids: the same seed gives the same ids in the same order. */
  rng: Rng;
} & Partial<Behaviour>;

/** Pooled connections of a client stay valid for as long as a test or a benchmark may pause. */
const keepAliveTimeout = 60_000;
/** A benchmark opens all of its connections at once. */
const backlog = 4096;

/**
 * Starts a simulated provider on 127.0.0.1.
 * @throws (rejects) when the port is taken, or a fault among the options is none
 */
export async function startSimulatedProvider(options: SimulatedProviderOptions): Promise<SimulatedProvider> {
  const name = options.name ?? "simulated";
  const endpoints = new Endpoints(name, options.clock, options.rng, options);
  const seen = new SeenRequests();
  const server = createServer({ keepAliveTimeout, requestTimeout: 0, noDelay: true }, (request, response) =>
    serve(request, response, endpoints, seen),
  );
  // A client may pipeline any number of requests, each of which listens.
  server.on("connection", (socket) => socket.setMaxListeners(0));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: "127.0.0.1", port: options.port ?? 0, backlog }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  // A server that listens on TCP has an address of this form.
  const { port } = server.address() as AddressInfo;

  return {
    name,
    baseUrl: `http://127.0.0.1:${port}/v1`,
    get seen() {
      return seen.list;
    },
    get open() {
      return seen.open;
    },
    behave: (changes) => endpoints.behave(changes),
    arrived: (count) => seen.when(() => seen.total >= count),
    idle: () => seen.when(() => seen.open === 0),
    close() {
      seen.closing = true;
      return new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}
