import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { answerText } from "../answers.ts";
import { nonceLength, nonceMark } from "../nonce.ts";
import { failoverModel, pacedModel, silentModel } from "../payloads.ts";
import { eventsPerSilentStream, eventsPerStream, eventText, pacedEventMs } from "../stream-shape.ts";
import { listen } from "./listen.ts";
import { readBody } from "./read-body.ts";

/*
 * The upstream of the benchmark: fixed answers in OpenAI's words around the nonce of the request. Cheap on purpose, for it shares
 * the machine with what is measured. At its other address every request fails, and is remembered: so nobody can be served after a
 * failed hop who has not made it. Silent streams go on when `POST /release` says so.
 */

const asksForStream = Buffer.from('"stream":true');
const head = `{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"bench-model","choices":[{"index":0,"message":{"role":"assistant","content":"`;
const tail = `","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":17,"completion_tokens":9,"total_tokens":26,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}},"system_fingerprint":"fp_bench"}`;
const chunkHead = `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench-model","system_fingerprint":"fp_bench","choices":[{"index":0,"delta":`;
const chunkTail = `,"logprobs":null,"finish_reason":null}]}\n\n`;
const streamEnd = `${chunkHead}{},"logprobs":null,"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`;
const failure = `{"error":{"message":"The server had an error while processing your request","type":"server_error"}}`;
const json = { "content-type": "application/json" };

const failed = new Set<string>();
const silent = new Set<() => void>();

const server = createServer((request, response) => readBody(request, (body) => answer(request, response, body)));
const failing = createServer((request, response) => readBody(request, (body) => fail(request, response, body)));

function nonceOf(body: Buffer): string | undefined {
  const at = body.indexOf(nonceMark);
  return at < 0 ? undefined : body.toString("latin1", at, at + nonceLength);
}

function answer(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  const nonce = nonceOf(body);
  if (request.url === "/release") release(response);
  else if (nonce === undefined) refuse(response, "no nonce");
  else if (body.includes(failoverModel) && !failed.delete(nonce)) refuse(response, "no hop has failed before");
  else if (!body.includes(asksForStream)) send(response, 200, head + answerText(nonce) + tail);
  else if (body.includes(silentModel)) silentStream(response, nonce);
  else stream(response, nonce, body.includes(pacedModel));
}

function fail(_request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  const nonce = nonceOf(body);
  if (nonce !== undefined) failed.add(nonce);
  send(response, 500, failure);
}

function refuse(response: ServerResponse, message: string): void {
  send(response, 400, JSON.stringify({ error: { message, type: "invalid_request_error" } }));
}

function send(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { ...json, "content-length": text.length });
  response.end(text);
}

function writeEvent(response: ServerResponse, nonce: string, index: number): void {
  const role = index === 0 ? `"role":"assistant",` : "";
  response.write(`${chunkHead}{${role}"content":"${eventText(nonce, index)}"}${chunkTail}`);
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
    writeEvent(response, nonce, index++);
    if (paced) setTimeout(next, pacedEventMs);
    // Not at once: within one turn of the loop writes share a packet.
    else setImmediate(next);
  };
  next();
}

function silentStream(response: ServerResponse, nonce: string): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  writeEvent(response, nonce, 0);
  const goOn = () => {
    for (let index = 1; index < eventsPerSilentStream; index++) writeEvent(response, nonce, index);
    response.end(streamEnd);
  };
  silent.add(goOn);
  response.on("close", () => silent.delete(goOn));
}

function release(response: ServerResponse): void {
  const all = [...silent];
  silent.clear();
  for (const goOn of all) goOn();
  send(response, 200, JSON.stringify({ released: all.length }));
}

listen(server, failing);
