import { Agent, request } from "node:http";
import { type Caller, question } from "./caller.ts";

/** A caller by OpenAI's REST API. */
export function createRestCaller(
  { host, port, key }: { host: string; port: number; key: string },
  stream: boolean,
): Caller {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const messages = [
    { role: "system", content: "You are not there." },
    { role: "user", content: question },
  ];
  const body = JSON.stringify({ model: "warm-up", messages, ...(stream && { stream }) });
  const headers = {
    authorization: `Bearer ${key}`,
    accept: "application/json",
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
  };
  return {
    ask: () =>
      new Promise((resolve, reject) => {
        const call = request({ agent, host, port, method: "POST", path: "/v1/chat/completions", headers }, (answer) => {
          answer.on("error", reject).on("end", () => {
            if (answer.statusCode === 200) resolve();
            else reject(new Error(`REST was answered by ${answer.statusCode}`));
          });
          answer.resume();
        });
        call.on("error", reject).end(body);
      }),
    close: () => agent.destroy(),
  };
}
