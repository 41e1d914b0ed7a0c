import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { ChatService } from "../../gen/ts/everhop/v1/chat_service_pb.ts";
import { type Part, PartSchema, Role } from "../../gen/ts/everhop/v1/prompt_pb.ts";
import { BadRequestSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import { startGateway, startProviders } from "../support/gateway.ts";
import { postChat } from "../support/rest.ts";
import { openTransport, type TransportName, transportNames } from "../support/wires.ts";

const png = new Uint8Array([1, 2, 3]);

/** What each wire says: a task, a model, and what the prompt holds. */
interface Asked {
  readonly task?: string;
  readonly model?: string;
  readonly holds?: "image" | "audio";
  readonly text?: string;
}

type Ask = (
  asked: Asked,
) => Promise<{ provider: string } | { status: string | number; field: string; message: string }>;

function restAsk(address: string): Ask {
  return async ({ task, model, holds, text = "Hello" }) => {
    const parts = {
      image: { type: "image_url", image_url: { url: "data:image/png;base64,AQID" } },
      audio: { type: "input_audio", input_audio: { data: "AQID", format: "wav" } },
    };
    const content = holds ? [{ type: "text", text }, parts[holds]] : text;
    const response = await postChat(address, { model, task, messages: [{ role: "user", content }] });
    const { provider, error } = (await response.json()) as {
      provider?: string;
      error: { param: string; message: string };
    };
    return provider ? { provider } : { status: response.status, field: error.param, message: error.message };
  };
}

function rpcAsk(name: TransportName, address: string): Ask {
  const client = createClient(ChatService, openTransport(name, address));
  return async ({ task = "", model = "", holds, text = "Hello" }) => {
    const media = (mediaType: string): Part =>
      create(PartSchema, { kind: { case: "media", value: { mediaType, source: { case: "data", value: png } } } });
    const parts = [
      create(PartSchema, { kind: { case: "text", value: text } }),
      ...(holds ? [media(holds === "image" ? "image/png" : "audio/wav")] : []),
    ];
    try {
      const { trail } = await client.completeChat({
        prompt: { model, messages: [{ role: Role.USER, parts }] },
        options: { task },
      });
      return { provider: trail?.attempts.at(-1)?.provider ?? "" };
    } catch (error) {
      const failure = ConnectError.from(error);
      const field = failure.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field ?? "";
      return { status: Code[failure.code], field: field.replace("options.", ""), message: failure.message };
    }
  };
}

const wires: Readonly<Record<string, (address: string) => Ask>> = {
  REST: restAsk,
  ...Object.fromEntries(transportNames.map((name) => [name, (address: string) => rpcAsk(name, address)])),
};

const names = ["plain", "coder", "eyes", "ears", "library"] as const;

async function start(changes: { tasks?: object; plain?: object; callers?: readonly object[] } = {}) {
  const providers = await startProviders({ plain: {}, coder: {}, eyes: {}, ears: {}, library: {} });
  return startGateway(
    {
      auth: { callers: changes.callers ?? [] },
      providers: names.map((name) => ({
        name,
        base_url: providers[name].baseUrl,
        models: [{ id: `${name}-model`, ...(name === "plain" ? changes.plain : {}) }],
      })),
      defaults: { model: "plain-model" },
      tasks: changes.tasks ?? { code: "coder-model", vision: "eyes-model", audio: "ears-model", long: "library-model" },
      routing: { long_prompt: 1000 },
    },
    providers,
  );
}

describe.each(Object.entries(wires))("by %s", (_name, open) => {
  test("a task chooses the model, whatever model is named beside it", async () => {
    const ask = open((await start()).address);
    expect(await ask({ task: "code" })).toEqual({ provider: "coder" });
    expect(await ask({ task: "code", model: "plain-model", holds: "image" })).toEqual({ provider: "coder" });
    expect(await ask({})).toEqual({ provider: "plain" });
  });

  test("a prompt that names no model goes by what it holds: a sound, an image, much text", async () => {
    const ask = open((await start()).address);
    expect(await ask({ holds: "image" })).toEqual({ provider: "eyes" });
    expect(await ask({ holds: "audio" })).toEqual({ provider: "ears" });
    expect(await ask({ text: "word ".repeat(790) })).toEqual({ provider: "plain" });
    expect(await ask({ text: "word ".repeat(810) })).toEqual({ provider: "library" });
    expect(await ask({ text: "字".repeat(1400) })).toEqual({ provider: "library" });
  });

  test("a model that is named serves whatever the prompt holds, unless it is known not to take that", async () => {
    expect(await open((await start()).address)({ model: "plain-model", holds: "image" })).toEqual({
      provider: "plain",
    });
    const ask = open((await start({ plain: { input: ["audio"] } })).address);
    expect(await ask({ model: "plain-model", holds: "image" })).toEqual({ provider: "eyes" });
    expect(await ask({ model: "plain-model", holds: "audio" })).toEqual({ provider: "plain" });
    expect(await ask({ model: "plain-model", text: "word ".repeat(900) })).toEqual({ provider: "plain" });
  });

  test("a prompt that fits no window of the default model is long", async () => {
    const ask = open((await start({ plain: { context_window: 300 } })).address);
    expect(await ask({ text: "word ".repeat(200) })).toEqual({ provider: "plain" });
    expect(await ask({ text: "word ".repeat(300) })).toEqual({ provider: "library" });
  });

  test("a task that is not configured is the caller's error, and says which are", async () => {
    const status = open === restAsk ? 400 : "InvalidArgument";
    expect(await open((await start()).address)({ task: "poetry" })).toEqual({
      status,
      field: "task",
      message: expect.stringContaining('expected one of code, vision, audio, long, got "poetry"'),
    });
    expect(await open((await start({ tasks: {} })).address)({ task: "code" })).toEqual({
      status,
      field: "task",
      message: expect.stringContaining("this gateway has no tasks"),
    });
  });
});

test("a caller that may not use a task's model is not sent there unasked, and told when it asks", async () => {
  const callers = [{ name: "narrow", key: "sk-test-canary-narrow", models: ["plain-model"] }];
  const { address } = await start({ callers });
  const post = (body: object) =>
    postChat(
      address,
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:," } }] }], ...body },
      {
        headers: { authorization: "Bearer sk-test-canary-narrow" },
      },
    );
  expect(await (await post({})).json()).toMatchObject({ provider: "plain" });
  expect((await post({ task: "vision" })).status).toBe(404);
});

test("a task never reaches a provider, but an object of that name does", async () => {
  const { plain } = await startProviders({ plain: {} });
  const { address } = await startGateway(
    { providers: [{ name: "plain", base_url: plain.baseUrl }], defaults: { model: "m" }, tasks: { code: "m" } },
    { plain },
  );
  const messages = [{ role: "user", content: "Hello" }];
  await postChat(address, { messages, task: "code" });
  await postChat(address, { messages, task: { of: "somebody else" } });
  expect(plain.seen.map(({ json }) => (json as { task?: unknown }).task)).toEqual([undefined, { of: "somebody else" }]);
});
