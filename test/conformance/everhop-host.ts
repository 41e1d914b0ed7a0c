import type { ConnectError } from "@connectrpc/connect";
import { maxTimeoutMs } from "../../src/api/edge.ts";
import { createRpcAdapter } from "../../src/api/rpc/adapter.ts";
import { ownError } from "../../src/api/rpc/errors.ts";
import { createByteBudget } from "../../src/gateway/byte-budget.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { systemRng } from "../../src/runtime/rng.ts";
import { createListener } from "../../src/server/listener/listener.ts";
import type { Host } from "./host.ts";

/** Errors of Connect's own pass where they are given an ErrorInfo, and come out without it: the judge wants them as they were. */
function undressed(error: ConnectError, headers: Headers): ConnectError {
  const own = ownError(error, headers);
  own.details = [];
  return own;
}

/** Our listener and our adapter, with the limits that they have in the gateway. */
export const everhopHost: Host = (routes, { tls, maxMessageBytes }) => {
  const budget = createByteBudget(256 << 20);
  const adapter = createRpcAdapter(routes, {
    clock: systemClock,
    readMaxBytes: maxMessageBytes ?? 32 << 20,
    writeMaxBytes: 64 << 20,
    maxTimeoutMs,
    stalledMs: 30_000,
    dress: undressed,
  });
  const listener = createListener(
    (request, response) => {
      const [path = ""] = (request.url ?? "").split("?", 1);
      if (!adapter.paths.has(path)) {
        response.writeHead(404).end();
        return;
      }
      const account = budget.open();
      response.on("close", account.close);
      adapter.handle(request, response, { take: account.take });
    },
    { clock: systemClock, rng: systemRng, tls, reportBug: (error) => console.error(error) },
  );
  return listener.listen("127.0.0.1", 0);
};
