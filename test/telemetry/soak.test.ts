import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { queryObjects, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, onTestFinished, test } from "vitest";
import { RequestRecord } from "../../src/telemetry/request-record.ts";
import { startTraced } from "../support/traced-gateway.ts";
import { failureOf, openWire, type Wire } from "../support/wires.ts";

/** How many requests in all; the usual number keeps the suite quick. */
const total = Number(process.env["EVERHOP_TRACED"] ?? 1500);
const atOnce = 8;
/** How often is looked how much memory is held. */
const looks = 12;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void; // the flag has made it

/** A collector that throws all of it away. */
async function startSink(): Promise<{ readonly endpoint: string; readonly exports: () => number }> {
  let exports = 0;
  const server = createServer((request, response) => {
    exports += 1;
    request.resume().on("end", () => response.writeHead(200, { "content-type": "application/x-protobuf" }).end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo; // it listens on a port
  return { endpoint: `http://127.0.0.1:${port}`, exports: () => exports };
}

/** What becomes of requests, in turns. */
const turns: readonly ((rest: Wire, grpc: Wire) => Promise<unknown>)[] = [
  (rest) => rest.complete({ text: "a", model: "good" }),
  (_, grpc) => grpc.complete({ text: "a", model: "good" }),
  (rest) => rest.stream({ text: "a", model: "good" }),
  (_, grpc) => grpc.stream({ text: "a", model: "good" }),
  (rest) => rest.complete({ text: "a", model: "pair" }),
  (_, grpc) => grpc.stream({ text: "a", model: "pair" }),
  (rest) => failureOf(rest.complete({ text: "a", model: "failing" })),
  (_, grpc) => failureOf(grpc.complete({ text: "a", candidateCount: -1 })),
  (rest) => leaves(rest),
  (_, grpc) => leaves(grpc),
];

/** A caller that leaves in the middle of its stream. */
async function leaves(wire: Wire): Promise<void> {
  const leaving = new AbortController();
  await wire
    .stream({ text: "a", model: "endless" }, { signal: leaving.signal, onText: () => leaving.abort() })
    .catch(() => {});
}

test(`of ${total} requests nothing is left once they are over`, { timeout: 60_000 + total * 20 }, async () => {
  const sink = await startSink();
  const seen = { began: 0, ended: 0, abandoned: 0 };
  const names = ["good", "empty", "failing", "endless"];
  const gateway = await startTraced(
    { endpoint: sink.endpoint, protocol: "http/protobuf" },
    {
      good: {},
      empty: { schedule: [{ kind: "empty" }] },
      failing: { schedule: [{ kind: "status", status: 400 }] },
      endless: { schedule: [{ kind: "stall_after", events: 3 }], eventPerWrite: true },
    },
    {
      rest: {
        routing: { breaker: { enabled: false } },
        models: [
          ...names.map((name) => ({ name, targets: [{ provider: name, model: "m" }] })),
          {
            name: "pair",
            targets: [
              { provider: "empty", model: "m", priority: 1 },
              { provider: "good", model: "m", priority: 2 },
            ],
          },
        ],
        defaults: { model: "good" },
      },
      parts: {
        // What the tests otherwise remember of each would grow.
        observer: {},
        watcher: {
          began: () => void seen.began++,
          ended: () => void seen.ended++,
          abandoned: () => void seen.abandoned++,
        },
      },
    },
  );
  const { tracing } = gateway.gateway.telemetry;
  const rest = openWire("REST", gateway.address);
  const grpc = openWire("gRPC", gateway.address);

  let next = 0;
  async function serve(until: number): Promise<void> {
    const sit = async () => {
      while (next < until) await turns[next++ % turns.length]?.(rest, grpc);
    };
    await Promise.all(Array.from({ length: atOnce }, sit));
    // A request ends a little after its answer.
    while (seen.ended + seen.abandoned < seen.began) await sleep(2);
    await tracing.flush();
  }

  const held: number[] = [];
  for (let look = 1; look <= looks; look++) {
    await serve(Math.round((total * look) / looks));
    collectGarbage();
    held.push(process.memoryUsage().heapUsed);
  }

  expect(seen).toEqual({ began: total, ended: total, abandoned: 0 });
  expect(tracing.waiting).toBe(0);
  const { kept, ...ends } = tracing.counts;
  expect(ends).toEqual({ sent: total, dropped: 0, failed: 0 });
  expect(Object.values(kept).reduce((sum, count) => sum + count, 0)).toBe(total);
  expect(sink.exports()).toBeGreaterThanOrEqual(total / 128);
  // The last one of each connection may be remembered by it.
  expect(queryObjects(RequestRecord, { format: "count" })).toBeLessThanOrEqual(2 * atOnce);

  // What is compiled and pooled comes in the first third. A request that is held is some 3 KB: of those between the medians not one in ten is.
  const settled = held.slice(looks / 3);
  const [early, late] = [settled.slice(0, settled.length / 2), settled.slice(settled.length / 2)].map(median);
  const between = (total / looks) * (settled.length / 2);
  const most = Math.max(4 << 20, between * 300);
  console.log(
    `traced: ${total} requests, heap ${held.map((bytes) => (bytes / 2 ** 20).toFixed(1)).join(" ")} MiB, ${sink.exports()} exports`,
  );
  expect((late ?? 0) - (early ?? 0)).toBeLessThan(most);
});

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
