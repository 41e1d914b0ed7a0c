import { setTimeout as sleep } from "node:timers/promises";
import { Server, ServerCredentials, type ServiceDefinition } from "@grpc/grpc-js";
import { expect, onTestFinished, test } from "vitest";
import { postChat } from "../support/rest.ts";
import { startTraced } from "../support/traced-gateway.ts";

const path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/** A collector as people start it: what is larger than 4 MiB is refused over gRPC. */
async function startOrdinaryCollector(): Promise<{ readonly endpoint: string; readonly sizes: readonly number[] }> {
  const sizes: number[] = [];
  const bytes = { serialize: (value: Buffer) => value, deserialize: (value: Buffer) => value };
  const service: ServiceDefinition = {
    Export: {
      ...{ path, requestStream: false, responseStream: false },
      ...{ requestSerialize: bytes.serialize, requestDeserialize: bytes.deserialize },
      ...{ responseSerialize: bytes.serialize, responseDeserialize: bytes.deserialize },
    },
  };
  const server = new Server();
  server.addService(service, {
    Export: ({ request }: { request: Buffer }, done: (error: null, value: Buffer) => void) => {
      sizes.push(request.length);
      // Those that come meanwhile wait, and make a whole batch.
      setTimeout(() => done(null, Buffer.alloc(0)), 50);
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    const credentials = ServerCredentials.createInsecure();
    server.bindAsync("127.0.0.1:0", credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  onTestFinished(() => server.forceShutdown());
  return { endpoint: `http://127.0.0.1:${port}`, sizes };
}

test("an ordinary collector takes every trace over gRPC, however much stands in each", async () => {
  const collector = await startOrdinaryCollector();
  const { address, gateway } = await startTraced(
    { endpoint: collector.endpoint, protocol: "grpc" },
    { only: { text: "y" } },
    { telemetry: { content: true } },
  );
  const { tracing } = gateway.telemetry;
  const ask = () =>
    postChat(address, { model: "think", messages: [{ role: "user", content: "é".repeat(60_000) }] }).then((response) =>
      response.text(),
    );
  for (let round = 0; round < 20; round++) await Promise.all(Array.from({ length: 10 }, ask));
  while (tracing.counts.sent + tracing.counts.failed + tracing.counts.dropped < 200) await sleep(10);
  expect(tracing.counts).toMatchObject({ sent: 200, dropped: 0, failed: 0 });
  expect(Math.max(...collector.sizes)).toBeLessThan(4 << 20);
});
