import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import type { Target } from "../../src/providers/target.ts";
import { createUpstream } from "../../src/providers/upstream.ts";
import { createCancellation } from "../../src/runtime/cancellation.ts";
import { systemClock } from "../../src/runtime/clock.ts";

test("a body that is read slower than it comes goes on for as long as it is read", async () => {
  const whole = 16 * 2 ** 20;
  const server = createServer((request, response) => {
    request.resume();
    response.end(Buffer.alloc(whole, "a"));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo; // a TCP server's address is one
  const upstream = createUpstream({ clock: systemClock, userAgent: "test" });
  onTestFinished(() => upstream.close());
  // All that is looked at of a target.
  const target = { origin: `http://127.0.0.1:${port}`, basePath: "", connectMs: 5000 } as Target;
  const { body } = await upstream.send(target, undefined, { path: "/", headers: {} } as never, createCancellation());
  let bytes = 0;
  for (;;) {
    const read = await body.read(2000);
    if (read === "end") break;
    expect(read, `after ${bytes} bytes`).not.toBe("silence");
    bytes += read.length;
    await new Promise((later) => setTimeout(later, 3));
  }
  expect(bytes).toBe(whole);
});
