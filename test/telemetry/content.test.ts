import { createClient } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { ChatService } from "../../gen/ts/everhop/v1/chat_service_pb.ts";
import { Role } from "../../gen/ts/everhop/v1/prompt_pb.ts";
import { postChat } from "../support/rest.ts";
import { overHttp, startCollector, startTraced } from "../support/traced-gateway.ts";
import { everywhere, modes, openTransport, openWire, send, textOf, wireNames } from "../support/wires.ts";

const [input, output] = ["gen_ai.input.messages", "gen_ai.output.messages"];
const mostCharacters = 64 * 1024;

/** A gateway that writes contents down. */
async function start(
  behaviours: Parameters<typeof startTraced>[1] = { first: {} },
  telemetry: object = { content: true },
) {
  const collector = await startCollector();
  const gateway = await startTraced(overHttp(collector), behaviours, { telemetry });
  return {
    ...gateway,
    /** What is written down of the only request. */
    async written() {
      await gateway.sent(1);
      const holders = collector.spans.filter(({ attributes }) => input in attributes || output in attributes);
      // Nowhere but on the request's own span.
      expect(holders.map(({ kind }) => kind)).toEqual(["SERVER"]);
      const { attributes } = holders[0] ?? {};
      return { asked: attributes?.[input], answered: attributes?.[output] };
    },
  };
}

const text = 'quoted 🦘 "and"\n\tall';
const said = (content: string) => ({ type: "text", content });
const asked = [{ role: "user", parts: [said(text)] }];

const schema = {
  type: "object",
  required: ["city", "degrees"],
  properties: { city: { type: "string" }, degrees: { type: "number" } },
};

describe("where contents may be written down", () => {
  test.each(everywhere)("both sides stand on the request's span, $mode over $name", async ({ name, mode }) => {
    const { address, written } = await start();
    await send(openWire(name, address), mode, { text });
    const { asked: question, answered: answer } = await written();
    expect(JSON.parse(String(question))).toEqual(asked);
    expect(JSON.parse(String(answer))).toEqual([
      { role: "assistant", parts: [said(`You said: ${text}`)], finish_reason: "stop" },
    ]);
  });

  test.each(modes)("a conversation with its tools and all its candidates, %s over REST", async (mode) => {
    const { address, written } = await start();
    const call = { id: "call_1", type: "function", function: { name: "weather", arguments: '{"city":"Perth"}' } };
    const body = {
      model: "think",
      n: 2,
      stream: mode === "stream",
      messages: [
        { role: "system", content: "be brief" },
        {
          role: "user",
          content: [
            { type: "text", text: "look at this" },
            { type: "image_url", image_url: { url: "data:image/png;base64,Y2FuYXJ5" } },
          ],
        },
        { role: "assistant", content: null, tool_calls: [call] },
        { role: "tool", tool_call_id: "call_1", content: "sunny" },
        { role: "user", content: "and now?" },
      ],
      tools: [{ type: "function", function: { name: "weather", parameters: schema } }],
    };
    expect((await postChat(address, body).then(read)).status).toBe(200);
    const { asked: question, answered: answer } = await written();
    expect(JSON.parse(String(question))).toEqual([
      { role: "system", parts: [said("be brief")] },
      { role: "user", parts: [said("look at this"), { type: "image_url" }] },
      {
        role: "assistant",
        parts: [{ type: "tool_call", id: "call_1", name: "weather", arguments: { city: "Perth" } }],
      },
      { role: "tool", parts: [{ type: "tool_call_response", id: "call_1", response: "sunny" }] },
      { role: "user", parts: [said("and now?")] },
    ]);
    const called = {
      role: "assistant",
      parts: [
        {
          type: "tool_call",
          id: expect.stringMatching(/^call_/),
          name: "weather",
          arguments: { city: "text", degrees: 0 },
        },
      ],
      finish_reason: "tool_calls",
    };
    expect(JSON.parse(String(answer))).toEqual([called, called]);
  });

  test.each(modes)("a call of a tool, %s over gRPC", async (mode) => {
    const { address, written } = await start();
    const client = createClient(ChatService, openTransport("gRPC", address));
    const prompt = {
      model: "think",
      messages: [{ role: Role.USER, parts: [{ kind: { case: "text" as const, value: text } }] }],
      tools: [
        { kind: { case: "function" as const, value: { name: "weather", parametersJson: JSON.stringify(schema) } } },
      ],
    };
    if (mode === "unary") expect(textOf((await client.completeChat({ prompt })).completion)).toBe("");
    else for await (const { event } of client.streamChat({ prompt })) expect(event).toBeDefined();
    const { asked: question, answered: answer } = await written();
    expect(JSON.parse(String(question))).toEqual(asked);
    expect(JSON.parse(String(answer))).toMatchObject([
      { parts: [{ type: "tool_call", name: "weather", arguments: { city: "text", degrees: 0 } }] },
    ]);
  });

  const long = { text: "all of it ".repeat(20_000) };

  test.each(wireNames)("it is 64 Ki characters of each side at most, over %s", async (name) => {
    const { address, written } = await start();
    await openWire(name, address).complete(long);
    for (const side of Object.values(await written())) expectCut(side);
  });

  // Not so yet: some seven thousand characters of a stream are written down, and nothing says that it was longer.
  test.each(wireNames)("it is as much of a stream, over %s", async (name) => {
    const { address, written } = await start();
    await openWire(name, address).stream(long);
    for (const side of Object.values(await written())) expectCut(side);
  });

  function expectCut(side: unknown): void {
    expect(String(side)).toHaveLength(mostCharacters + 1);
    expect(String(side)).toMatch(/^\[\{"role":".*…$/);
  }

  test.each(modes)("it is the answer of the attempt that served, %s", async (mode) => {
    const { address, written } = await start({
      first: { text: "from the first", schedule: [{ kind: "no_content" }] },
      second: { text: "from the second" },
    });
    await send(openWire("Connect", address), mode, { text });
    const { answered: told } = await written();
    expect(JSON.parse(String(told))).toMatchObject([{ parts: [said("from the second")] }]);
  });

  test("it is as much of a stream as came before it broke", async () => {
    const words = Array.from({ length: 60 }, (_, index) => `word${index}`).join(" ");
    const { address, written } = await start({
      first: { text: words, schedule: [{ kind: "cut_after", events: 21 }], eventPerWrite: true },
    });
    await openWire("REST", address)
      .stream({ text })
      .catch(() => {});
    const { answered: told } = await written();
    const [answer] = JSON.parse(String(told)) as { parts: { content: string }[] }[];
    const content = answer?.parts[0]?.content ?? "";
    expect(content).toMatch(/^word0 word1 /);
    expect(words.startsWith(content)).toBe(true);
  });

  test("it is the question alone where nobody answered", async () => {
    const { address, written } = await start({ first: { schedule: [{ kind: "status", status: 400 }] } });
    await openWire("gRPC", address)
      .complete({ text })
      .catch(() => {});
    expect(await written()).toEqual({ asked: JSON.stringify(asked), answered: undefined });
  });
});

test("where they may not, nothing stands", async () => {
  const collector = await startCollector();
  const gateway = await startTraced(overHttp(collector), { first: {} });
  for (const { name, mode } of everywhere) await send(openWire(name, gateway.address), mode, { text });
  await gateway.sent(everywhere.length);
  const names = collector.spans.flatMap(({ attributes }) => Object.keys(attributes));
  expect(names.filter((name) => name.endsWith(".messages"))).toEqual([]);
});

async function read(response: Response): Promise<Response> {
  await response.arrayBuffer();
  return response;
}
