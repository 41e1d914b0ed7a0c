import { createServer, type OutgoingHttpHeaders, type ServerResponse } from "node:http";
import { type Dispatcher, Pool } from "undici";
import { listen } from "./listen.ts";
import { readBody } from "./read-body.ts";

/*
 * The floor: the least that a proxy on Node's own server and undici does. Bytes through; nothing is parsed, checked, timed or
 * noted. Started with the upstream's origin as its argument.
 */

const origin = process.argv[2];
if (!origin) throw new Error("expected the upstream's origin");
const pool = new Pool(origin, { pipelining: 1, headersTimeout: 0, bodyTimeout: 0 });

const server = createServer((request, response) =>
  readBody(request, (body) => {
    const { "content-type": type = "", authorization = "" } = request.headers;
    const headers = { "content-type": type, authorization };
    const path = request.url ?? "/";
    pool.dispatch({ method: "POST", path, headers, body }, relay(response));
  }),
);

function relay(response: ServerResponse): Dispatcher.DispatchHandler {
  let missingBytes = Number.NaN;
  return {
    onRequestStart() {},
    onResponseStart(_controller, status, headers) {
      const head: OutgoingHttpHeaders = {};
      for (const name of ["content-type", "content-length"]) if (headers[name]) head[name] = headers[name];
      missingBytes = Number(head["content-length"]);
      response.writeHead(status, head);
    },
    onResponseData(controller, chunk) {
      missingBytes -= chunk.length;
      // A whole answer leaves in one write with its head.
      if (missingBytes === 0) response.end(chunk);
      else if (!response.write(chunk)) {
        controller.pause();
        response.once("drain", () => controller.resume());
      }
    },
    onResponseEnd() {
      if (!response.writableEnded) response.end();
    },
    onResponseError() {
      response.destroy();
    },
  };
}

listen(server);
