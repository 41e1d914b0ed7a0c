import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { nonceLength, nonceMark } from "../nonce.ts";
import { pacedModel } from "../payloads.ts";
import { eventsPerStream, pacedEventMs } from "../stream-shape.ts";
import { listen } from "./listen.ts";
import { readBody } from "./read-body.ts";

/*
 * The upstream of the benchmark: fixed answers in OpenAI's words around the nonce of the request. Cheap on purpose, for it shares
 * the machine with what is measured. Below /broken every request is answered by a page.
 */

const asksForStream = Buffer.from('"stream":true');
const head = `{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"bench-model","choices":[{"index":0,"message":{"role":"assistant","content":"`;
const tail = ` and not a word more.","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":17,"completion_tokens":9,"total_tokens":26,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}},"system_fingerprint":"fp_bench"}`;
const chunkHead = `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench-model","system_fingerprint":"fp_bench","choices":[{"index":0,"delta":`;
const chunkTail = `,"logprobs":null,"finish_reason":null}]}\n\n`;
const streamEnd = `${chunkHead}{},"logprobs":null,"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`;
const page = "<html><body>Something went wrong.</body></html>";
const json = { "content-type": "application/json" };

const server = createServer((request, response) => readBody(request, (body) => answer(request, response, body)));

function answer(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  const at = body.indexOf(nonceMark);
  const nonce = body.toString("latin1", at, at + nonceLength);
  if (request.url?.startsWith("/broken/")) send(response, 200, page);
  else if (at < 0) send(response, 400, `{"error":{"message":"no nonce","type":"invalid_request_error"}}`);
  else if (body.includes(asksForStream)) stream(response, nonce, body.includes(pacedModel));
  else send(response, 200, head + nonce + tail);
}

function send(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { ...json, "content-length": text.length });
  response.end(text);
}

/** Writes the events, each in a write of its own as a model's would be; back to back if not paced. */
function stream(response: ServerResponse, nonce: string, paced: boolean): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  let index = 0;
  const next = () => {
    if (response.destroyed) return;
    if (index === eventsPerStream) {
      response.end(streamEnd);
      return;
    }
    const role = index === 0 ? `"role":"assistant",` : "";
    response.write(`${chunkHead}{${role}"content":"${nonce}#${String(index++).padStart(2, "0")} "}${chunkTail}`);
    if (paced) setTimeout(next, pacedEventMs);
    // Not at once: within one turn of the loop writes share a packet.
    else setImmediate(next);
  };
  next();
}

listen(server);
