import http, { type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** A provider whose streams begin, and go on when they are told. */
export interface HeldUpstream {
  readonly baseUrl: string;
  /** Resolves when so many streams are being held. */
  holds(count: number): Promise<void>;
  /** Streams that are held now. */
  readonly held: number;
  /** Lets all of them end well. */
  release(): void;
}

const chunk = (delta: object, finish: string | null) =>
  `data: ${JSON.stringify({
    id: "held",
    object: "chat.completion.chunk",
    created: 1,
    model: "held",
    choices: [{ index: 0, delta, finish_reason: finish }],
  })}\n\n`;

/** Starts one. */
export async function startHeldUpstream(): Promise<HeldUpstream> {
  const open = new Set<ServerResponse>();
  const waiting = new Set<() => void>();
  const baseUrl = await startUpstream((response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(chunk({ role: "assistant", content: "to be " }, null));
    open.add(response);
    response.on("close", () => open.delete(response));
    for (const look of waiting) look();
  });
  return {
    baseUrl,
    get held() {
      return open.size;
    },
    holds: (count) =>
      new Promise((resolve) => {
        const look = () => {
          if (open.size < count) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    release() {
      for (const response of open) response.end(`${chunk({ content: "continued" }, "stop")}data: [DONE]\n\n`);
    },
  };
}

/** A provider whose answers are this large, streamed in many events or whole. */
export function startLargeUpstream(bytes: number): Promise<string> {
  const piece = "x".repeat(16 << 10);
  return startUpstream((response, streamed) => {
    const pieces = Math.ceil(bytes / piece.length);
    if (!streamed) {
      response.writeHead(200, { "content-type": "application/json" });
      const message = { role: "assistant", content: piece.repeat(pieces) };
      const choices = [{ index: 0, message, finish_reason: "stop" }];
      response.end(JSON.stringify({ id: "large", object: "chat.completion", created: 1, model: "large", choices }));
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    let left = pieces;
    const go = () => {
      while (left > 0) {
        left -= 1;
        if (!response.write(chunk({ content: piece }, null))) return void response.once("drain", go);
      }
      response.end(`${chunk({}, "stop")}data: [DONE]\n\n`);
    };
    go();
  });
}

async function startUpstream(answer: (response: ServerResponse, streamed: boolean) => void): Promise<string> {
  const server = http.createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (piece: string) => {
      body += piece;
    });
    request.on("end", () => answer(response, /"stream":\s*true/.test(body)));
    response.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`; // a server on TCP has an address of this form
}

/** A configuration with one provider there. */
export function configOf(baseUrl: string, more: object = {}): object {
  return {
    providers: [{ name: "only", base_url: baseUrl, keys: ["secret-of-only"], models: ["only-model"] }],
    models: [{ name: "think", targets: [{ provider: "only", model: "only-model" }] }],
    ...more,
  };
}
