import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { postChat } from "../support/rest.ts";
import { overHttp, startCollector, startTraced } from "../support/traced-gateway.ts";

test("whoever takes us for a proxy has the user of the address in no span", async () => {
  const collector = await startCollector();
  const { port, sent } = await startTraced(overHttp(collector), { only: {} });
  const socket = connect(port, "127.0.0.1");
  const address = `http://someone:sk-test-canary-password@127.0.0.1:${port}/v1/nothing`;
  socket.write(`GET ${address} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nconnection: close\r\n\r\n`);
  socket.resume();
  await once(socket, "close");
  await sent(1);
  expect(collector.spans.map(({ attributes }) => attributes["url.path"])).toEqual(["/v1/nothing"]);
});

test("a provider's code that is a sentence, which may hold anything, is in no span", async () => {
  const collector = await startCollector();
  const code = "You said: canary prompt";
  const { address, sent } = await startTraced(overHttp(collector), {
    only: { schedule: [{ kind: "status", status: 400, code }] },
  });
  await postChat(address, { model: "think", messages: [{ role: "user", content: "a" }] }).then((response) =>
    response.text(),
  );
  await sent(1);
  const text = JSON.stringify(collector.spans, (_, value) => (typeof value === "bigint" ? String(value) : value));
  expect(text).toContain("request_refused");
  expect(text).not.toContain("canary prompt");
});
