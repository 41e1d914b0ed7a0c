import type { IncomingMessage, ServerResponse } from "node:http";
import type { ConnectError } from "@connectrpc/connect";
import { compressionGzip } from "@connectrpc/connect-node";
import { maxTimeoutMs, type Peer } from "../../src/api/edge.ts";
import { createRpcAdapter } from "../../src/api/rpc/adapter.ts";
import { ownError } from "../../src/api/rpc/errors.ts";
import { createGrpcLane } from "../../src/api/rpc/grpc-lane.ts";
import { createByteBudget } from "../../src/gateway/byte-budget.ts";
import { createCancellation } from "../../src/runtime/cancellation.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { systemRng } from "../../src/runtime/rng.ts";
import { createListener } from "../../src/server/listener/listener.ts";
import { unwatchedRecord } from "../support/records.ts";
import type { Host } from "./host.ts";
import { conformanceLane } from "./lane.ts";

/** Errors of Connect's own pass where they are given an ErrorInfo, and come out without it: the judge wants them as they were. */
function undressed(error: ConnectError, headers: Headers): ConnectError {
  const own = ownError(error, headers);
  own.details = [];
  return own;
}

/** Our listener and our adapter, with the limits that they have in the gateway. @param hasLane whether our gRPC lane is before them */
function hostOf(hasLane: boolean): Host {
  return (routes, { tls, maxMessageBytes }) => {
    const budget = createByteBudget(256 << 20);
    const common = {
      clock: systemClock,
      readMaxBytes: maxMessageBytes ?? 32 << 20,
      writeMaxBytes: 64 << 20,
      maxTimeoutMs,
      stalledMs: 30_000,
      dress: undressed,
    };
    const adapter = createRpcAdapter(routes, common);

    function handle(
      request: IncomingMessage,
      response: ServerResponse,
      _peer: Peer,
      body?: AsyncIterable<Uint8Array>,
    ): void {
      const [path = ""] = (request.url ?? "").split("?", 1);
      if (!adapter.paths.has(path)) {
        response.writeHead(404).end();
        return;
      }
      const account = budget.open();
      response.on("close", account.close);
      adapter.handle(request, response, {
        record: unwatchedRecord(),
        take: (bytes) => account.take(bytes),
        ...(body && { body }),
      });
    }

    const lane = createGrpcLane(conformanceLane(), {
      ...common,
      bytes: budget,
      shutdown: createCancellation(),
      compression: compressionGzip,
      handOver: handle,
    });
    const short = hasLane && { wantsStream: lane.wants, handleStream: lane.handle };
    const listener = createListener(
      { handle, ...short },
      { clock: systemClock, rng: systemRng, tls, reportBug: (error) => console.error(error) },
    );
    return listener.listen("127.0.0.1", 0);
  };
}

/** With the lane, as the gateway is by default. */
export const everhopHost: Host = hostOf(true);
/** Without it: Connect serves everything. */
export const everhopHostWithoutLane: Host = hostOf(false);
