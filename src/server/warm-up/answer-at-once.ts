import type { RequestListener } from "node:http";

/** A provider that says the same to everybody, at once: a whole answer, or word by word where the request says `"stream":true`. */
export const answerAtOnce: RequestListener = (request, response) => {
  let body = "";
  request.setEncoding("utf8");
  request.on("data", (text: string) => {
    body += text;
  });
  request.on("end", () => {
    if (!body.includes('"stream":true')) {
      response.writeHead(200, { "content-type": "application/json", "content-length": whole.length }).end(whole);
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of events) response.write(event);
    response.end();
  });
};

const words = ["Hello", ",", " I", " am", " not", " a", " model", "."];
const usage = { prompt_tokens: 12, completion_tokens: words.length, total_tokens: 12 + words.length };

function document(object: string, rest: object): string {
  return JSON.stringify({ id: "chatcmpl-warm-up", object, created: 1_700_000_000, model: "warm-up", ...rest });
}

const whole = document("chat.completion", {
  choices: [{ index: 0, message: { role: "assistant", content: words.join("") }, finish_reason: "stop" }],
  usage,
});

const events = [
  chunk({ role: "assistant", content: "" }),
  ...words.map((content) => chunk({ content })),
  chunk({}, "stop"),
  `data: ${document("chat.completion.chunk", { choices: [], usage })}\n\n`,
  "data: [DONE]\n\n",
];

function chunk(delta: object, finish: string | null = null): string {
  return `data: ${document("chat.completion.chunk", { choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
}
