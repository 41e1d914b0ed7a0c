import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type Program, start } from "../../support/program.ts";

const binary = process.env["EVERHOP_JAEGER"];

/** Whether there is a Jaeger to ask: `.ci/jaeger` builds one and names it by `EVERHOP_JAEGER`. Says so when there is none. */
export const hasJaeger: boolean = binary !== undefined;
if (binary === undefined) {
  console.warn("SKIPPED: EVERHOP_JAEGER names no Jaeger (.ci/jaeger builds one), so no trace was looked at in it");
} else if (!existsSync(binary)) {
  throw new Error(`EVERHOP_JAEGER names ${binary}, and there is none`);
}

/** A tag, or a field of a log. */
export interface JaegerTag {
  readonly key: string;
  readonly type: "string" | "bool" | "int64" | "float64" | "binary";
  readonly value: unknown;
}

/** A span as Jaeger's query API tells it; times in microseconds. */
export interface JaegerSpan {
  readonly traceID: string;
  readonly spanID: string;
  readonly flags?: number;
  readonly operationName: string;
  readonly references: readonly {
    readonly refType: "CHILD_OF" | "FOLLOWS_FROM";
    readonly traceID: string;
    readonly spanID: string;
  }[];
  readonly startTime: number;
  readonly duration: number;
  readonly tags: readonly JaegerTag[];
  readonly logs: readonly { readonly timestamp: number; readonly fields: readonly JaegerTag[] }[];
  readonly processID: string;
  readonly warnings: readonly string[] | null;
}

/** A trace as Jaeger's query API tells it. */
export interface JaegerTrace {
  readonly traceID: string;
  readonly spans: readonly JaegerSpan[];
  readonly processes: Readonly<Record<string, { readonly serviceName: string; readonly tags: readonly JaegerTag[] }>>;
  readonly warnings: readonly string[] | null;
}

/** What to look for; what is not said may be anything. */
export interface JaegerQuery {
  readonly service: string;
  /** A span's name. */
  readonly operation?: string;
  /** All of them on one and the same span, or on its process, or in one of its logs. */
  readonly tags?: Readonly<Record<string, string>>;
  /** Such as `1.5s`. */
  readonly minDuration?: string;
  readonly maxDuration?: string;
  /** How many traces; Jaeger's default: 100. */
  readonly limit?: number;
}

/** A running Jaeger. */
export interface Jaeger {
  /** `http://127.0.0.1:PORT`, for OTLP/HTTP. */
  readonly httpEndpoint: string;
  /** `http://127.0.0.1:PORT`, for OTLP/gRPC in clear. */
  readonly grpcEndpoint: string;
  /** `http://127.0.0.1:PORT`, of its query API and its pages. */
  readonly queryAddress: string;
  /**
   * The trace, as soon as Jaeger has at least so many spans of it.
   * @throws Error with the names of what it has when that takes too long
   */
  trace(traceId: string, count?: number): Promise<JaegerTrace>;
  /** The traces that it finds now, newest first. One that `trace` has told is found. */
  find(query: JaegerQuery): Promise<readonly JaegerTrace[]>;
  /** Ends it. */
  close(): Promise<void>;
}

const host = "127.0.0.1";
const listeners = {
  "collector.otlp.http": "--collector.otlp.http.host-port",
  "collector.otlp.grpc": "--collector.otlp.grpc.host-port",
  "query.http": "--query.http-server.host-port",
  "query.grpc": "--query.grpc-server.host-port",
  admin: "--admin.http.host-port",
  "collector.grpc": "--collector.grpc-server.host-port",
  "collector.http": "--collector.http-server.host-port",
} as const;
type Listener = keyof typeof listeners;

/** Starts one that keeps its traces in memory and ends with the test. */
export async function startJaeger(): Promise<Jaeger> {
  // Jaeger must be told its ports, and whoever is told of a free port may find it taken a moment later.
  for (let attempt = 1; ; attempt++) {
    const ports = await freePorts();
    const program = launch(ports);
    if (await isReady(program, ports.admin)) return jaegerOf(program, ports);
    if (attempt === 3 || !/address already in use/.test(program.output())) {
      throw new Error(`Jaeger has not started:\n${program.output()}`);
    }
  }
}

async function freePorts(): Promise<Readonly<Record<Listener, number>>> {
  const names = Object.keys(listeners) as Listener[]; // the keys are those of the table
  // All are held until all are known, so that none is told twice.
  const held = await Promise.all(
    names.map(async (name) => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, host, resolve));
      const address = server.address();
      if (!address || typeof address === "string") throw new Error("it listens on no port");
      return { name, server, port: address.port };
    }),
  );
  await Promise.all(held.map(({ server }) => new Promise((resolve) => server.close(resolve))));
  return Object.fromEntries(held.map(({ name, port }) => [name, port])) as Record<Listener, number>; // one for each name
}

function launch(ports: Readonly<Record<Listener, number>>): Program {
  if (binary === undefined) throw new Error("there is no Jaeger");
  const flags = Object.entries(listeners).map(([name, flag]) => `${flag}=${host}:${ports[name as Listener]}`); // a key of it
  return start(binary, flags, {
    SPAN_STORAGE_TYPE: "memory",
    // It would trace itself, and send that to whoever listens on the usual port.
    OTEL_TRACES_SAMPLER: "always_off",
  });
}

/** @returns false when it has ended instead */
async function isReady({ exited }: Program, port: number): Promise<boolean> {
  let ended = false;
  void exited.then(() => {
    ended = true;
  });
  while (!ended) {
    const ready = await fetch(`http://${host}:${port}/`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (ready) return true;
    await sleep(20);
  }
  return false;
}

function jaegerOf({ child, exited, output }: Program, ports: Readonly<Record<Listener, number>>): Jaeger {
  const queryAddress = `http://${host}:${ports["query.http"]}`;

  /** @returns the traces; none when there is none of that name */
  const ask = async (path: string): Promise<readonly JaegerTrace[]> => {
    const response = await fetch(`${queryAddress}${path}`);
    if (response.status === 404) return [];
    if (!response.ok) throw new Error(`Jaeger answers ${path} with ${response.status}: ${await response.text()}`);
    const { data } = (await response.json()) as { readonly data: readonly JaegerTrace[] }; // by its documentation
    return data;
  };

  return {
    httpEndpoint: `http://${host}:${ports["collector.otlp.http"]}`,
    grpcEndpoint: `http://${host}:${ports["collector.otlp.grpc"]}`,
    queryAddress,
    trace: async (traceId, count = 1) => {
      const giveUp = AbortSignal.timeout(20_000);
      for (;;) {
        const [trace] = await ask(`/api/traces/${traceId}`);
        if (trace && trace.spans.length >= count) return trace;
        if (giveUp.aborted) {
          const names = trace?.spans.map(({ operationName }) => operationName) ?? [];
          throw new Error(`Jaeger has ${names.length} of ${count} spans: ${names.join(", ")}\n${output()}`);
        }
        await sleep(20);
      }
    },
    find: ({ tags, limit, ...rest }) => {
      const query = new URLSearchParams(rest as Record<string, string>); // what is left is text
      if (tags) query.set("tags", JSON.stringify(tags));
      if (limit !== undefined) query.set("limit", String(limit));
      return ask(`/api/traces?${query}`);
    },
    close: async () => {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
