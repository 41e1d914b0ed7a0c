import { describe, expect, test } from "vitest";
import { templateOf } from "../../src/api/rest/route.ts";
import { routes } from "../../src/api/rest/routes.ts";
import { ShuttingDown } from "../../src/runtime/cancellation.ts";
import { type Json, postChat } from "../support/rest.ts";
import { adminKey, callerKey, type Document, documentOf, judgeOf, startDescribed } from "./described.ts";

const key = { authorization: `Bearer ${callerKey}` };
const good = { messages: [{ role: "user", content: "Hello!" }] };
const chat = "/v1/chat/completions";

const examples = routes.flatMap((route) =>
  route.docs.examples.map((example) => ({
    template: templateOf(route),
    method: route.method,
    access: route.access,
    ...example,
  })),
);

/** Headers that are HTTP's own and not the gateway's. */
const ordinary =
  /^(content-|date$|connection$|keep-alive$|cache-control$|transfer-encoding$|x-accel-buffering$|vary$|x-content-type-options$|x-frame-options$|referrer-policy$)/;

/** Checks an answer against what the document says of it. @returns its body, of an event stream its events */
async function expectDocumented(document: Document, path: string, method: string, response: Response) {
  const judge = judgeOf(document);
  const { status, headers } = response;
  const [media = ""] = (headers.get("content-type") ?? "").split(";");
  const documented = document.paths[path]?.[method.toLowerCase()]?.responses[status];
  expect(documented, `${method} ${path} ${status}`).toBeDefined();
  const unknown = [...headers.keys()].filter((name) => !ordinary.test(name) && !(name in (documented?.headers ?? {})));
  expect(unknown).toEqual([]);
  expect(documented?.headers).toHaveProperty(["x-request-id"]);
  const text = await response.text();
  const value: unknown = media === "application/json" ? JSON.parse(text) : text;
  expect(judge.answer(path, method.toLowerCase(), status, media, value)).toEqual([]);
  if (media !== "text/event-stream") return value;
  const events = [...text.matchAll(/^data: (.+)$/gm)].map(([, data = ""]) => data);
  for (const data of events.filter((each) => each !== "[DONE]")) {
    const event = JSON.parse(data) as Json;
    expect(judge.named("error" in event ? "Error" : "ChatCompletionChunk", event)).toEqual([]);
  }
  return events;
}

describe("an example of the documentation, when it is sent,", () => {
  test.each(examples)("is answered as documented: $method $template, $summary", async (example) => {
    const { address } = await startDescribed();
    const document = await documentOf(address);
    const response = await fetch(address + (example.path ?? example.template), {
      method: example.method,
      headers: {
        ...(example.access === "caller" && key),
        ...(example.access === "admin" && { "x-admin-key": adminKey }),
        ...(example.body && { "content-type": "application/json" }),
        ...example.headers,
      },
      ...(example.body && { body: JSON.stringify(example.body) }),
    });
    expect(response.status).toBe(example.answer.status);
    expect(response.headers.get("content-type")).toContain(example.answer.media);
    const value = await expectDocumented(document, example.template, example.method, response);
    if (example.answer.media === "text/event-stream") expect(value).toContain("[DONE]");
    // Every member that the example shows is really there, or it may be left out by any provider.
    if (example.template === chat && example.answer.media === "application/json") {
      expect(value).toHaveProperty(["latency_ms"]);
      expect(Object.keys(value as object)).toEqual(expect.arrayContaining(Object.keys(example.answer.value as object)));
    }
  });

  test("of a stream is one that breaks, too: an error event of the documented shape, and no [DONE]", async () => {
    const { address, providers } = await startDescribed();
    providers["openai-primary"].behave({ schedule: [{ kind: "cut_after" }] });
    const body = { ...good, messages: [{ role: "user", content: "one two three four five six" }], stream: true };
    const response = await postChat(address, body, { headers: key });
    const events = await expectDocumented(await documentOf(address), chat, "POST", response);
    expect(events).not.toContain("[DONE]");
    expect(JSON.parse((events as string[]).at(-1) ?? "")).toMatchObject({
      error: { code: "stream_interrupted", partial: true },
    });
  });
});

interface Provoked {
  readonly address: string;
  readonly gateway: Awaited<ReturnType<typeof startDescribed>>;
}

const everyone = (providers: Provoked["gateway"]["providers"], behaviour: object) => {
  for (const provider of Object.values(providers)) provider.behave(behaviour);
};

const refusedWith = (status: number, code: string) => ({ schedule: [{ kind: "status", status, code }] });

/** A way to each failure that a chat request can have. */
const ways: Readonly<Record<string, (provoked: Provoked) => Promise<Response>>> = {
  invalid_request: ({ address }) => postChat(address, { ...good, temperature: 3 }, { headers: key }),
  refused_request: ({ address, gateway: { providers } }) => {
    everyone(providers, refusedWith(400, "invalid_value"));
    return postChat(address, good, { headers: key });
  },
  content_filtered: ({ address, gateway: { providers } }) => {
    everyone(providers, refusedWith(400, "content_filter"));
    return postChat(address, good, { headers: key });
  },
  context_length_exceeded: ({ address, gateway: { providers } }) => {
    everyone(providers, refusedWith(400, "context_length_exceeded"));
    return postChat(address, good, { headers: key });
  },
  unauthorized: ({ address }) => postChat(address, good),
  forbidden: ({ address }) => postChat(address, good, { headers: { authorization: `Bearer ${adminKey}` } }),
  unknown_model: ({ address }) => postChat(address, { ...good, model: "gpt-5-turbo" }, { headers: key }),
  request_too_large: ({ address }) =>
    postChat(address, { messages: [{ role: "user", content: "x".repeat(5000) }] }, { headers: key }),
  unsupported_media_type: ({ address }) =>
    postChat(address, good, { headers: { ...key, "content-type": "text/plain" } }),
  caller_limited: async ({ address }) => {
    await (await postChat(address, good, { headers: { "x-api-key": "sk-test-canary-once" } })).arrayBuffer();
    return postChat(address, good, { headers: { "x-api-key": "sk-test-canary-once" } });
  },
  too_many_failures: async ({ address }) => {
    const wrong = () => postChat(address, good, { headers: { "x-api-key": "sk-test-canary-wrong" } });
    for (;;) {
      const response = await wrong();
      if (response.status !== 401) return response;
      await response.arrayBuffer();
    }
  },
  all_limited: ({ address, gateway: { providers } }) => {
    everyone(providers, refusedWith(429, "rate_limit_exceeded"));
    return postChat(address, good, { headers: key });
  },
  all_failed: ({ address, gateway: { providers } }) => {
    everyone(providers, refusedWith(500, "oops"));
    return postChat(address, good, { headers: key });
  },
  nothing_to_try: ({ address }) => postChat(address, { ...good, model: "canary-nobody" }, { headers: key }),
  out_of_memory: ({ address }) =>
    postChat(address, { messages: [{ role: "user", content: "x".repeat(2 << 20) }] }, { headers: key }),
  deadline_exceeded: ({ address, gateway: { providers } }) => {
    everyone(providers, { schedule: [{ kind: "silence" }] });
    return postChat(address, { ...good, timeout: 0.3 }, { headers: key });
  },
  shutting_down: async ({ address, gateway: { providers, gateway } }) => {
    everyone(providers, { schedule: [{ kind: "silence" }] });
    const answer = postChat(address, good, { headers: key });
    await providers["openai-primary"].arrived(1);
    gateway.cut(new ShuttingDown());
    return answer;
  },
};

/** What of the configuration a failure needs. */
const limits: Readonly<Record<string, object>> = {
  request_too_large: { body: "4KiB" },
  out_of_memory: { buffered: "1MiB" },
};

describe("a failure of a chat request", () => {
  test.each(Object.entries(ways))("comes with the documented status, code, headers and body: %s", async (kind, way) => {
    const gateway = await startDescribed({
      auth: {
        callers: [
          { name: "team", key: callerKey },
          { name: "once", key: "sk-test-canary-once", rpm: 1 },
        ],
        admin_keys: [adminKey],
      },
      server: { limits: limits[kind] ?? {} },
    });
    const { address } = gateway;
    const document = await documentOf(address);
    const responses = Object.entries(document.paths[chat]?.["post"]?.responses ?? {});
    const [status, example] =
      responses.flatMap(([each, { content }]) => {
        const found = content["application/json"]?.examples[kind];
        return found ? [[each, found.value as { readonly error: Json }] as const] : [];
      })[0] ?? [];
    const response = await way({ address, gateway });
    expect(String(response.status)).toBe(status);
    const said = (await expectDocumented(document, chat, "POST", response)) as { readonly error: Json };
    const { type, code } = example?.error ?? {};
    expect(said.error).toMatchObject({ type, code });
    // A wait is promised for exactly those that have one.
    const row = document.info.description.split("\n").find((line) => line.startsWith(`| ${status} | \`${code}\``));
    expect(response.headers.has("retry-after")).toBe(row?.includes("`retry-after`"));
  });

  test("is documented with all that there are, a bug of the gateway's own alone cannot be brought about", async () => {
    const { address } = await startDescribed();
    const { responses = {} } = (await documentOf(address)).paths[chat]?.["post"] ?? {};
    const kinds = Object.entries(responses)
      .filter(([status]) => status !== "200")
      .flatMap(([, { content }]) => Object.keys(content["application/json"]?.examples ?? {}));
    expect(kinds.sort()).toEqual([...Object.keys(ways), "internal"].sort());
  });

  test("of a route that takes no body is documented, too", async () => {
    const { address } = await startDescribed();
    const document = await documentOf(address);
    for (const [path, at] of [
      ["/v1/models", "/v1/models"],
      ["/v1/models/{model}", "/v1/models/think"],
    ] as const) {
      for (const headers of [{}, { authorization: `Bearer ${adminKey}` }]) {
        await expectDocumented(document, path, "GET", await fetch(address + at, { headers }));
      }
    }
    await expectDocumented(
      document,
      "/v1/models/{model}",
      "GET",
      await fetch(`${address}/v1/models/no`, { headers: key }),
    );
  });

  test("is readiness's, while the gateway leaves", async () => {
    const { address, gateway } = await startDescribed();
    const document = await documentOf(address);
    gateway.enter("draining");
    const response = await fetch(`${address}/readyz`);
    expect(response.status).toBe(503);
    await expectDocumented(document, "/readyz", "GET", response);
  });
});
