import { createServer, type ServerResponse } from "node:http";
import net, { type AddressInfo } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { poolConfig, startGateway, startProviders } from "../support/gateway.ts";
import { postChat, readAll } from "../support/rest.ts";
import { failureOf, modes, openWire, rpcNames, send, wireNames } from "../support/wires.ts";

/** An upstream that says exactly what it is told, byte by byte. */
async function startRaw(answer: (response: ServerResponse, body: string) => void): Promise<{ baseUrl: string }> {
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (piece) => {
      body += piece;
    });
    request.on("end", () => answer(response, body));
    response.on("error", () => {});
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` }; // a TCP server's address is one
}

const json = (status: number, body: string) => (response: ServerResponse) => {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(body);
};

const content = (text: string, finish: string | null = null) =>
  `data: {"id":"c","choices":[{"index":0,"delta":{"content":"${text}"},"finish_reason":${JSON.stringify(finish)}}]}\n\n`;

const events =
  (...texts: string[]) =>
  (response: ServerResponse) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const text of texts) response.write(text);
  };

async function startPair(answer: Parameters<typeof startRaw>[0], changes: object = {}) {
  const providers = await startProviders({ second: {} });
  const first = await startRaw(answer);
  const gateway = await startGateway({ ...poolConfig({ first, ...providers }), ...changes }, providers);
  return { ...gateway, providers };
}

describe.each(wireNames)("over %s", (name) => {
  const usage = (tokens: number) =>
    `"usage":{"prompt_tokens":3,"completion_tokens":${tokens},"total_tokens":${3 + tokens}}`;
  const emptyWhole = (tokens: number) =>
    json(
      200,
      `{"choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"stop"}],${usage(tokens)}}`,
    );
  const emptyStream = (tokens: number, ...rest: string[]) =>
    events(content("", "stop"), `data: {"id":"c","choices":[],${usage(tokens)}}\n\n`, ...rest);

  test("an answer that says nothing, and that it is no token long, is none: the next endpoint is asked", async () => {
    const whole = await startPair(emptyWhole(0));
    expect(await openWire(name, whole.address).complete({ text: "x" })).toMatchObject({ provider: "second" });
    expect(whole.trails[0]?.attempts[0]?.outcome).toBe("transient_fault");
    const streamed = await startPair(emptyStream(0, "data: [DONE]\n\n"));
    expect(await openWire(name, streamed.address).stream({ text: "x" })).toMatchObject({
      provider: "second",
      text: "You said: x",
    });
  });

  test("an answer that says nothing is one when a token was made for it, whenever the stream's end comes", async () => {
    const whole = await startPair(emptyWhole(1));
    expect(await openWire(name, whole.address).complete({ text: "x" })).toMatchObject({ provider: "first", text: "" });
    // Neither [DONE] nor the end of the body: a second later the answer counts as whole.
    const held = await startPair(emptyStream(1));
    expect(await openWire(name, held.address).stream({ text: "x" })).toMatchObject({ provider: "first", text: "" });
    const plain = await startPair(events(content("", "stop"), "data: [DONE]\n\n"));
    expect(await openWire(name, plain.address).stream({ text: "x" })).toMatchObject({ provider: "first", text: "" });
  });

  test.each([undefined, true, false])(
    "an answer that says nothing is one where a target's own stop sequence may have come first: stream is %s",
    async (stream) => {
      const targets = ["first", "second"].map((provider) => ({
        ...{ provider, model: `${provider}-model` },
        params: { stop: ["\n"], ...(stream !== undefined && { stream }) },
      }));
      const { address } = await startPair(
        (response, body) =>
          (body.includes('"stream":true') ? emptyStream(0, "data: [DONE]\n\n") : emptyWhole(0))(response),
        { models: [{ name: "think", targets }] },
      );
      for (const mode of modes) {
        expect(await send(openWire(name, address), mode, { text: "x" })).toMatchObject({ provider: "first", text: "" });
      }
    },
  );

  test.each([
    ["half a character", '{"error":{"message":"bad \\ud800 end"}}'],
    ["a character at the place where it is cut", `{"error":{"message":"${"x".repeat(999)}😀😀"}}`],
  ])("a refusal whose words hold %s reaches the caller", async (_, body) => {
    const { address } = await startPair(json(400, body));
    const wire = openWire(name, address);
    // Begun one after the other: a promise that fails before anybody looks at it is an unhandled rejection.
    for (const call of [() => wire.complete({ text: "x" }), () => wire.stream({ text: "x" })]) {
      expect((await failureOf(call())).status).toBe(name === "REST" ? 400 : "InvalidArgument");
    }
  });

  test("a refusal does not repeat the key or the address that it quotes", async () => {
    const words = "credential secret-of-first is not allowed for db.internal:5432 (10.1.2.3), param secret-of-first";
    const { address } = await startPair(
      json(400, JSON.stringify({ error: { message: words, param: "secret-of-first" } })),
    );
    const failure = await failureOf(openWire(name, address).complete({ text: "x" }));
    expect(`${failure.message} ${failure.fields}`).not.toMatch(/secret-of-first|internal|10\.1/);
    expect(failure.message).toContain("credential [key] is not allowed");
  });

  test("an answer that nests deeper than anybody can write again is the provider's failure, and the request hops on", async () => {
    const deep = `${"[".repeat(200_000)}${"]".repeat(200_000)}`;
    const body = `{"choices":[{"index":0,"message":{"content":"hi","x":${deep}},"finish_reason":"stop"}],"y":${deep}}`;
    const { address, trails } = await startPair(json(200, body));
    const { provider } = await openWire(name, address).complete({ text: "x" });
    // The native lane hands on what it does not look into.
    expect(provider).toBe(name === "REST" ? "first" : "second");
    expect(trails[0]?.attempts[0]?.outcome).toBe(name === "REST" ? "ok" : "transient_fault");
  });

  test("an error whose body stalls is known by its status, and not waited for", async () => {
    const { address, trails } = await startPair((response) => {
      response.writeHead(429, { "content-type": "application/json" });
      response.write('{"error":');
    });
    expect((await openWire(name, address).complete({ text: "x" })).provider).toBe("second");
    expect(trails[0]?.attempts[0]).toMatchObject({ outcome: "rate_limited", httpStatus: 429 });
  });

  test("a stream that is whole but for [DONE] ends well, whether the provider goes on pinging or cuts the line", async () => {
    const pinging = await startPair((response) => {
      events(content("hi"), content("", "stop"))(response);
      const timer = setInterval(() => response.write(": ping\n\n"), 50);
      response.on("close", () => clearInterval(timer));
    });
    expect((await openWire(name, pinging.address).stream({ text: "x" })).text).toBe("hi");
    const cutting = await startPair((response) => {
      events(content("hi"), content("", "stop"))(response);
      setTimeout(() => response.destroy(), 30);
    });
    const { text, trail } = await openWire(name, cutting.address).stream({ text: "x" });
    expect(text).toBe("hi");
    expect(trail?.attempts[0]?.outcome).toBe("ok");
  });

  test("a stream whose last event is not closed ends well", async () => {
    const { address } = await startPair((response) => {
      events(content("hi"), content("", "stop").trimEnd())(response);
      response.end();
    });
    expect((await openWire(name, address).stream({ text: "x" })).text).toBe("hi");
  });

  test("a deadline that leaves no room for another attempt is told as a deadline", async () => {
    const { address } = await startPair(json(500, ""));
    const failure = await failureOf(openWire(name, address).complete({ text: "x", timeoutMs: 200 }));
    expect(failure.status).toBe(name === "REST" ? 504 : "DeadlineExceeded");
    expect(failure.trail?.skips).toEqual(["second/second-model deadline 2"]);
  });
});

describe.each(rpcNames)("over %s", (name) => {
  test("a request that is wrong in hundreds of places is told so in a status that clients can read", async () => {
    const { address } = await startPair(json(200, "{}"));
    const failure = await failureOf(openWire(name, address).complete({ text: "x", model: "😀".repeat(40_000) }));
    expect(failure).toMatchObject({ status: "InvalidArgument", fields: ["prompt.model"] });
  });
});

test.each(modes)("pictures are an answer, though they are no token long, %s", async (mode) => {
  const images = [{ type: "image_url", image_url: { url: "data:image/png;base64,AA==" } }];
  const usage = { prompt_tokens: 3, completion_tokens: 0, total_tokens: 3 };
  const said = { role: "assistant", content: "", images };
  const choice = (name: string) => ({ index: 0, [name]: said, finish_reason: "stop" });
  const whole = JSON.stringify({ choices: [choice("message")], usage });
  const event = `data: ${JSON.stringify({ choices: [choice("delta")], usage })}\n\n`;
  const { address } = await startPair(
    mode === "unary"
      ? json(200, whole)
      : (response) => {
          events(event, "data: [DONE]\n\n")(response);
          response.end();
        },
  );
  expect((await send(openWire("REST", address), mode, { text: "x" })).provider).toBe("first");
});

test("a provider's bad key is another provider's chance, though it says so with 400 and in a list", async () => {
  const { address, trails } = await startPair(json(400, '[{"error":{"code":400,"message":"API key not valid."}}]'));
  expect((await openWire("REST", address).complete({ text: "x" })).provider).toBe("second");
  expect(trails[0]?.attempts[0]?.outcome).toBe("key_refused");
});

test("a key as short as a word spoils no verdict", async () => {
  const providers = await startProviders({ second: {} });
  const first = await startRaw(json(401, '{"error":{"message":"key refused"}}'));
  const { address, trails } = await startGateway(
    poolConfig({ first, ...providers }, { first: { keys: ["key"] } }),
    providers,
  );
  expect((await openWire("REST", address).complete({ text: "x" })).provider).toBe("second");
  expect(trails[0]?.attempts[0]?.outcome).toBe("key_refused");
});

test("a stream whose finish reason came too early goes on for as long as content comes", async () => {
  const { address } = await startPair((response) => {
    events(content("0", "stop"))(response);
    let count = 0;
    const timer = setInterval(() => {
      count += 1;
      response.write(content(String(count)));
      if (count === 6) response.end("data: [DONE]\n\n");
    }, 250);
    response.on("close", () => clearInterval(timer));
  });
  expect((await openWire("gRPC", address).stream({ text: "x" })).text).toBe("0123456");
});

test("a refusal as too large stays 413", async () => {
  const { address } = await startPair(json(413, '{"error":{"message":"too big"}}'));
  expect((await failureOf(openWire("REST", address).complete({ text: "x" }))).status).toBe(413);
});

test("ids stand once in the headers of a failed Connect call", async () => {
  const { address } = await startPair(json(400, "{}"));
  const response = await fetch(`${address}/everhop.v1.ChatService/CompleteChat`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-request-id": "mine" },
    body: "{}",
  });
  expect(response.headers.get("x-request-id")).toBe("mine");
  expect(response.headers.get("x-everhop-trace-id")).toMatch(/^[\da-f]{32}$/);
});

/** Sends bytes and gives everything that comes back until the connection ends, or until `enough` says so. */
function rawTalk(port: number, speak: (socket: net.Socket, heard: () => string) => void): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    let text = "";
    socket.on("data", (bytes) => {
      text += bytes.toString();
      speak(socket, () => text);
    });
    socket.on("connect", () => speak(socket, () => text));
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
    socket.on("end", () => socket.end());
  });
}

const request = (body: string, more = "") =>
  `POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n${more}\r\n${body}`;

test("junk behind a request never lands in the middle of the answer under way", async () => {
  const { port } = await startPair((response) => {
    events(content("one"))(response);
    response.on("close", () => {});
  });
  let state = 0;
  const heard = await rawTalk(port, (socket, text) => {
    if (state === 0) {
      state = 1;
      socket.write(request('{"stream":true,"messages":[{"role":"user","content":"x"}]}'));
    } else if (state === 1 && text().includes("one")) {
      state = 2;
      socket.write("\u0000junk\r\n\r\n");
    }
  });
  expect(heard).toContain("one");
  expect(heard.match(/HTTP\/1\.1/g)).toHaveLength(1);
});

test("an upstream's own provider makes room, and only once", async () => {
  const body =
    '{"provider":"deep","upstream_provider":"deeper","choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}';
  const { address } = await startPair(json(200, body));
  const text = await (await postChat(address, { messages: [{ role: "user", content: "x" }] })).text();
  expect(text.match(/upstream_provider/g)).toHaveLength(1);
  expect(JSON.parse(text)).toMatchObject({ provider: "first", upstream_provider: "deep" });
});

test("every event of a stream parses, also when a provider forgets to close one", async () => {
  const { address } = await startPair((response) => {
    events(content("hi", "stop").trimEnd())(response);
    response.end();
  });
  const told = await readAll(await postChat(address, { stream: true, messages: [{ role: "user", content: "x" }] }));
  expect(told.at(-1)).toBe("[DONE]");
  for (const data of told.slice(0, -1)) expect(() => JSON.parse(data)).not.toThrow();
});
