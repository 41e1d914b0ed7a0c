import { Agent, createServer as createHttpServer, request } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { TraceCounts } from "../../src/telemetry/trace-queue.ts";
import type { CollectorBehaviour, OtlpReceiver } from "../support/otlp-receiver.ts";
import {
  type Collector,
  overHttp,
  startCollector,
  startTraced,
  type TracedSetup,
  transports,
} from "../support/traced-gateway.ts";
import { modes, openWire, send } from "../support/wires.ts";

const ask = { text: "does anybody look?" };
/** What waits at once, and what is sent at once. */
const [most, batch] = [4096, 128];

/** A gateway before one provider, and what it has told its operator. */
async function start(collector: Collector, otlp: object = {}, setup: TracedSetup = {}) {
  const said: string[] = [];
  const gateway = await startTraced(
    collector,
    { first: {} },
    { ...setup, otlp, parts: { warn: (message) => said.push(message) } },
  );
  const { tracing } = gateway.gateway.telemetry;
  return { ...gateway, said, tracing };
}

type Started = Awaited<ReturnType<typeof start>>;

/** Asks over two wires in both modes, ten at once. All of it must be served. */
async function serve({ address }: Pick<Started, "address">, requests: number): Promise<void> {
  const wires = [openWire("REST", address), openWire("gRPC", address)];
  let next = 0;
  const sit = async () => {
    while (next < requests) {
      const turn = next++;
      const wire = wires[turn % 2];
      const mode = modes[(turn >> 1) % 2];
      if (!wire || !mode) throw new Error("there are two of each");
      const { text } = await send(wire, mode, ask);
      expect(text).toBe(`You said: ${ask.text}`);
    }
  };
  await Promise.all(Array.from({ length: 10 }, sit));
}

/** Asks for something that is quickly answered, and leaves a trace all the same. */
async function serveQuickly(port: number, requests: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 20 });
  let next = 0;
  const sit = async () => {
    while (next++ < requests) {
      const status = await new Promise((resolve, reject) => {
        request({ agent, port, path: "/v1/models" }, (response) => {
          response.resume().on("end", () => resolve(response.statusCode));
        })
          .on("error", reject)
          .end();
      });
      expect(status).toBe(200);
    }
  };
  await Promise.all(Array.from({ length: 20 }, sit));
  agent.destroy();
}

const keptOf = ({ kept }: TraceCounts) => Object.values(kept).reduce((sum, count) => sum + count, 0);

/** Resolves when so many traces have been kept: a request ends a little after its answer. */
async function kept({ tracing }: Started, traces: number): Promise<void> {
  while (keptOf(tracing.counts) < traces) await sleep(2);
}

/** Resolves when nothing waits and nothing is on its way. */
async function over({ tracing }: Started): Promise<void> {
  await tracing.flush();
  const { counts, waiting } = tracing;
  expect(waiting).toBe(0);
  expect(counts.sent + counts.dropped + counts.failed).toBe(keptOf(counts));
}

/** A good collector in the place of another. */
async function replaced({ httpPort, grpcPort, close }: OtlpReceiver): Promise<OtlpReceiver> {
  await close();
  return startCollector({ httpPort, grpcPort });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (!address || typeof address === "string") throw new Error("it listens on no port");
  return address.port;
}

const requests = 300;

describe.each(transports)("by $name, a collector", ({ name, to }) => {
  test("that was never there: all are served, and what nobody takes is counted", async () => {
    const endpoint = `http://127.0.0.1:${await freePort()}`;
    const started = await start({ ...to({ httpEndpoint: endpoint, grpcEndpoint: endpoint }) }, { timeout: "200ms" });
    await serve(started, requests);
    await kept(started, requests);
    await over(started);
    expect(started.tracing.counts).toMatchObject({ sent: 0, failed: requests, dropped: 0 });
    // It is told once, however often it fails.
    expect(started.said).toEqual([
      expect.stringMatching(/^http:\S+ does not take traces \(nothing listens there\): until it does/),
    ]);
  });

  test("that goes away and comes back: all are served, and what comes then is taken", async () => {
    const first = await startCollector();
    const started = await start(to(first), { timeout: "200ms" });
    await serve(started, 50);
    await started.sent(50);
    await first.close();
    await serve(started, requests);
    await kept(started, 50 + requests);
    await over(started);
    const { failed } = started.tracing.counts;
    expect(failed).toBe(requests);
    const again = await startCollector({ httpPort: first.httpPort, grpcPort: first.grpcPort });
    // Whoever has been away for long is not asked at once by everybody.
    const before = started.tracing.counts.sent;
    let more = 0;
    while (started.tracing.counts.sent === before) {
      await serve(started, 1);
      more += 1;
      await sleep(50);
    }
    await kept(started, 50 + requests + more);
    await over(started);
    expect(again.spans.length).toBeGreaterThan(0);
    expect(started.said.map((line) => /does not take|takes traces again/.exec(line)?.[0])).toEqual([
      "does not take",
      "takes traces again",
    ]);
  });

  test("that never answers: all are served, and what is on its way is given up", async () => {
    const collector = await startCollector({ delay: "never" });
    const started = await start(to(collector), { timeout: "200ms" });
    await serve(started, requests);
    await kept(started, requests);
    await over(started);
    expect(started.tracing.counts).toMatchObject({ sent: 0, failed: requests });
    collector.behave({});
    await serve(started, 10);
    await started.sent(10);
  });

  const refusals: readonly CollectorBehaviour[] =
    name === "OTLP/HTTP"
      ? [{ httpStatus: 503 }, { httpStatus: 400 }, { httpStatus: 429, retryAfter: "1" }]
      : [{ grpcStatus: 14 }, { grpcStatus: 8 }, { grpcStatus: 3 }];

  test.each(refusals)("that refuses (%o): all are served, and what it refuses is counted", async (refusal) => {
    const collector = await startCollector(refusal);
    const started = await start(to(collector), { timeout: "300ms" });
    await serve(started, requests);
    await kept(started, requests);
    await over(started);
    expect(started.tracing.counts).toMatchObject({ sent: 0, failed: requests });
    expect(collector.requests.refused).toBeGreaterThanOrEqual(Math.ceil(requests / batch));
    expect(collector.spans).toEqual([]);
    expect(started.said).toHaveLength(1);
    collector.behave({});
    await serve(started, 10);
    await started.sent(10);
    expect(started.said).toEqual([expect.anything(), expect.stringMatching(/takes traces again/)]);
  });
});

describe("while a collector takes nothing", () => {
  test("so much waits and no more, what is beyond it is dropped, and what waits comes when it is back", async () => {
    const collector = await startCollector({ delay: "never" });
    const started = await start(overHttp(collector), { timeout: "1h" });
    await serveQuickly(started.port, batch);
    await collector.waitFor(({ requests: { http } }) => http.traces === 1);
    const tooMany = 500;
    await serveQuickly(started.port, most + tooMany);
    await kept(started, batch + most + tooMany);
    const { tracing } = started;
    expect(tracing.waiting).toBe(most);
    expect(tracing.counts).toMatchObject({ sent: 0, dropped: tooMany, failed: 0 });
    await collector.close();
    const again = await startCollector({ httpPort: collector.httpPort, grpcPort: collector.grpcPort });
    await over(started);
    // What was on its way when it went may be lost with it.
    expect(tracing.counts.sent).toBeGreaterThanOrEqual(most);
    expect(again.spans).toHaveLength(tracing.counts.sent);
  });

  test("so much of prompts and answers waits and no more", async () => {
    const collector = await startCollector({ delay: "never" });
    const started = await start(overHttp(collector), { timeout: "1h" }, { telemetry: { content: true } });
    const long = { text: "all of it ".repeat(10_000) };
    const wire = openWire("REST", started.address);
    const prompts = 420;
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        for (let turn = 0; turn < prompts / 4; turn++) await wire.complete(long);
      }),
    );
    await kept(started, prompts);
    const { tracing } = started;
    // Each holds 64 Ki of its prompt, and of its answer as much.
    expect(tracing.waiting * 2 * 64 * 1024).toBeLessThanOrEqual(16 * 1024 * 1024);
    expect(tracing.counts.dropped).toBeGreaterThanOrEqual(prompts - 2 * batch - 1);
    await replaced(collector);
    await over(started);
  });

  test("the gateway closes all the same", async () => {
    const collector = await startCollector({ delay: "never" });
    const gateways = await Promise.all(transports.map(({ to }) => start(to(collector), { timeout: "1h" })));
    for (const started of gateways) await serve(started, 20);
    await collector.waitFor(({ requests: { http, grpc } }) => http.traces > 0 && grpc.traces > 0);
    // What is on its way would be waited for for an hour.
    await Promise.all(gateways.map(({ gateway }) => gateway.telemetry.close()));
    for (const { tracing } of gateways) expect(tracing.counts.sent).toBe(0);
    await replaced(collector);
    await Promise.all(gateways.map(over));
  });
});

describe("a collector that is slow, or is none", () => {
  test("has every trace in the end, however few come while it takes its time", async () => {
    const receiver = await startCollector();
    receiver.behave({ delay: 1400 });
    const { port, tracing } = await start(overHttp(receiver));
    // The second one comes while the first is under way, and so does its turn.
    for (let turn = 0; turn < 3; turn++) {
      await serveQuickly(port, 1);
      await sleep(1200);
    }
    await vi.waitFor(() => expect([tracing.counts.sent, tracing.waiting]).toEqual([3, 0]), { timeout: 15_000 });
  });

  test("is told of in words that help: a page, the other protocol, nobody, no such path", async () => {
    const page = createHttpServer((_, response) => response.end("<!doctype html><title>Jaeger</title>"));
    await new Promise<void>((resolve) => page.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void page.close());
    const { port } = page.address() as AddressInfo;
    const receiver = await startCollector();
    const address = (at: number) => ({ endpoint: `http://127.0.0.1:${at}` });
    const wrong: [object, RegExp][] = [
      [address(port), /does not take traces \(it answers with a page: is that its port for OTLP\?\)/],
      [
        { ...address(receiver.httpPort), protocol: "grpc", timeout: "2s" },
        /\(no gRPC there: .* protocol: http\/protobuf\)/,
      ],
      [address(receiver.grpcPort), /\(no HTTP there: .* protocol: grpc\)/],
      [address(1), /\(nothing listens there\)/],
      [{ endpoint: `${address(receiver.httpPort).endpoint}/elsewhere` }, /\(it has no such path or method/],
    ];
    for (const [otlp, words] of wrong) {
      const started = await start(overHttp(receiver), { ...otlp, metrics: false });
      await serveQuickly(started.port, 1);
      await vi.waitFor(() => expect(started.said.join("\n")).toMatch(words), { timeout: 15_000 });
      expect(started.tracing.counts.sent).toBe(0);
    }
  });

  test("that takes no metrics is sent none any more, and nobody is warned: Jaeger is one", async () => {
    let asked = 0;
    const tracesOnly = createHttpServer((request, response) => {
      if (request.url === "/v1/metrics") asked += 1;
      request.resume().on("end", () => response.writeHead(request.url === "/v1/traces" ? 200 : 404).end());
    });
    await new Promise<void>((resolve) => tracesOnly.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void tracesOnly.close());
    const { port } = tracesOnly.address() as AddressInfo;
    const receiver = await startCollector();
    const started = await start(overHttp(receiver), {
      endpoint: `http://127.0.0.1:${port}`,
      metrics: true,
      metrics_interval: "1s",
    });
    await vi.waitFor(() => expect(asked).toBe(1), { timeout: 10_000 });
    await sleep(2500);
    expect([asked, started.said]).toEqual([1, []]);
  });
});
