import type { IncomingMessage, ServerResponse } from "node:http";
import type { Endpoints } from "./endpoints.ts";
import { Player } from "./player.ts";
import { readBody } from "./read-body.ts";
import type { OpenRequest, SeenRequests } from "./seen-request.ts";

/** Serves one request from its headers to its end: reads it, has it answered, plays the answer, and keeps the record. */
export function serve(
  request: IncomingMessage,
  response: ServerResponse,
  endpoints: Endpoints,
  seen: SeenRequests,
): void {
  const record = recordOf(request);
  const { socket } = request;
  let player: Player | undefined;
  let closed = false;
  seen.opened();

  const over = () => {
    // The response closes from within the socket's own event, which then still calls this.
    if (closed) return;
    closed = true;
    socket.off("close", over);
    player?.stop();
    record.finished = player?.finished ?? false;
    record.aborted = !record.finished && !seen.closing;
    if (!player) seen.arrived(record);
    seen.closed();
  };
  response.on("close", over);
  // A pipelined response that has not had its turn does not learn of it otherwise.
  socket.on("close", over);
  // A client that is gone shows as "close"; the errors themselves are no news.
  response.on("error", () => {});
  request.on("error", () => {});

  readBody(request, (body) => {
    if (closed) return;
    record.body = body ?? "";
    const { steps, playing } = body === undefined ? endpoints.tooLong(record) : endpoints.reply(record);
    player = new Player(response, playing);
    seen.arrived(record);
    // Only a header that Node refuses to send can fail here.
    player.play(steps).catch(() => socket.destroy());
  });
}

function recordOf(request: IncomingMessage): OpenRequest {
  return {
    number: 0,
    method: request.method ?? "",
    path: request.url ?? "",
    headers: request.headers,
    body: "",
    json: undefined,
    model: undefined,
    fault: { kind: "none" },
    aborted: false,
    finished: false,
  };
}
