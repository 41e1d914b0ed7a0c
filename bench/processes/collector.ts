import { createServer } from "node:http";
import { listen } from "./listen.ts";

/* Takes whatever is sent to it over OTLP/HTTP, and throws it away: an empty message is its thanks. `GET /` tells how much has come. */
const taken = { requests: 0, bytes: 0 };

const server = createServer((request, response) => {
  if (request.method === "GET") {
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(taken));
    return;
  }
  request.on("data", (chunk: Buffer) => {
    taken.bytes += chunk.length;
  });
  request.on("end", () => {
    taken.requests += 1;
    response.writeHead(200, { "content-type": "application/x-protobuf", "content-length": 0 }).end();
  });
});

listen(server);
