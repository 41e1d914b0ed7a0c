import { createConnection } from "node:net";
import { describe, expect, test } from "vitest";
import { bytesOf, httpRequest, talk } from "./http1.ts";
import { envelope, goodRequest } from "./rpc.ts";
import { goodBody, startTarget } from "./target.ts";

const json = "Content-Type: application/json";
const streamed = goodBody.replace("{", '{"stream":true,');
const rpc = httpRequest(
  "POST /everhop.v1.ChatService/StreamChat",
  ["Content-Type: application/connect+proto"],
  envelope(0, goodRequest).toString("latin1"),
);

const requests = {
  "a chat": httpRequest("POST /v1/chat/completions", [json], goodBody),
  "a stream": httpRequest("POST /v1/chat/completions", [json], streamed),
  "a stream of an RPC": rpc,
  "a chat in chunks": httpRequest(
    "POST /v1/chat/completions",
    [json, "Transfer-Encoding: chunked"],
    `${goodBody.length.toString(16)}\r\n${goodBody}\r\n0\r\n\r\n`,
  ),
};

/** Works on the numbers from 0 to `count`, some at once. */
async function each(count: number, work: (number: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async () => {
    for (let number = next++; number <= count; number = next++) await work(number);
  };
  await Promise.all(Array.from({ length: 8 }, lane));
}

/** Asks, and resets the connection as soon as so many bytes of the answer were read. @returns whether there were as many */
function readAndReset(port: number, said: string, most: number): Promise<boolean> {
  return new Promise((resolve) => {
    let read = 0;
    // One byte at a time, so that what has come beyond it is unread when the connection breaks.
    const onread = {
      buffer: Buffer.alloc(1),
      callback: () => {
        read += 1;
        if (read >= most) socket.resetAndDestroy();
        return read < most;
      },
    };
    const socket = createConnection({ port, host: "127.0.0.1", noDelay: true, onread }, () => {
      socket.write(bytesOf(said));
      if (most === 0) socket.resetAndDestroy();
    });
    socket.on("error", () => {});
    socket.on("end", () => socket.destroy());
    socket.on("close", () => resolve(read >= most));
  });
}

describe.each(Object.entries(requests))("%s", (_, said) => {
  test("that breaks at any byte of the request disturbs nobody", async () => {
    const target = await startTarget();
    await each(said.length, (length) => talk(target.port, said.slice(0, length), { afterwards: "reset" }));
    await target.survives();
  });

  test("that ends at any byte of the request disturbs nobody", async () => {
    const target = await startTarget();
    await each(said.length, async (length) => {
      const { answers } = await talk(target.port, said.slice(0, length), { afterwards: "end" });
      for (const { status } of answers) expect([200, 400]).toContain(status);
    });
    await target.survives();
  });

  test("whose client is gone at any byte of the answer frees what it held", async () => {
    const target = await startTarget();
    const closing = said.replace("\r\n", "\r\nConnection: close\r\n");
    const { text } = await talk(target.port, closing, { answers: 2 });
    expect(text.length).toBeGreaterThan(400);
    await each(text.length - 1, (length) => readAndReset(target.port, closing, length));
    await target.provider.idle();
    await target.survives();
  });
});
