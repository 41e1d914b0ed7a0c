import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { SimulatedProvider } from "../../src/providers/simulated/simulated-provider.ts";
import { startProviders } from "../support/gateway.ts";
import { everhopIn, folderWith, root } from "../support/program.ts";

const setUps = join(root, "examples/set-ups");

/** An example as it lies there, toward providers that are here. */
function example(path: string, changes: Readonly<Record<string, string>>): string {
  let text = readFileSync(join(setUps, path), "utf8");
  for (const [old, replacement] of Object.entries(changes)) {
    if (!text.includes(old)) throw new Error(`${path} does not hold ${old}`);
    text = text.replaceAll(old, replacement);
  }
  return text;
}

/** Starts the product in a folder with these files. */
async function served(files: Readonly<Record<string, string>>, args: readonly string[] = []) {
  const folder = folderWith(files);
  const program = everhopIn(folder, ["serve", "--port", "0", ...args]);
  const [, address = ""] = await program.said(/listens on (\S+)/);
  await program.said(/(are configured|: [\w, -]+\.)\s*$/m);
  return {
    folder,
    program,
    async chat(body: Readonly<Record<string, unknown>> = {}) {
      const response = await fetch(`${address}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ messages: [{ role: "user", content: "Hello" }], ...body }),
      });
      const text = await response.text();
      const json = text.startsWith("{") ? JSON.parse(text) : {};
      return { status: response.status, text, json, trail: trailOf(response), headers: response.headers };
    },
    get: async (path: string) => (await fetch(address + path)).json(),
  };
}

/** Endpoint and status of each attempt. */
function trailOf({ headers }: Response): string {
  return (headers.get("x-everhop-trail") ?? "").replaceAll(/ \d+ms/g, "");
}

function chats({ seen }: SimulatedProvider) {
  return seen.filter(({ method }) => method === "POST").map(({ json }) => json as Record<string, unknown>);
}

const image = { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } };
const sound = { type: "input_audio", input_audio: { data: "AAAA", format: "wav" } };
const holding = (part: object) => [{ role: "user", content: [{ type: "text", text: "What is this?" }, part] }];

describe("the numbered OPENAI_* environment", () => {
  const bases = (providers: Readonly<Record<"one" | "two" | "three", SimulatedProvider>>) => ({
    "https://api.openai.com/v1": providers.one.baseUrl,
    "https://your-proxy-api.example/v1": providers.two.baseUrl,
    "https://backup-api.example/v1": providers.three.baseUrl,
  });

  test("serves the example: by priority, with the default model, and fails over to the next", async () => {
    const providers = await startProviders({ one: {}, two: {}, three: {} });
    const { chat, get } = await served({ ".env.local": example("numbered-openai/example.env", bases(providers)) });
    expect(await chat()).toMatchObject({ status: 200, trail: "openai-1/gpt-4-turbo-preview#k1 200" });
    expect(chats(providers.one)[0]).toMatchObject({ model: "gpt-4-turbo-preview" });
    expect(providers.one.seen[0]?.headers.authorization).toBe("Bearer sk-your-official-openai-key");
    providers.one.behave({ schedule: [{ kind: "status", status: 401 }] });
    providers.two.behave({ schedule: [{ kind: "status", status: 402 }] });
    expect((await chat()).trail).toBe(
      "openai-1/gpt-4-turbo-preview#k1 401, openai-2/gpt-4-turbo-preview#k1 402, openai-3/gpt-4-turbo-preview#k1 200",
    );
    expect(await get("/v1/models")).toMatchObject({ data: [{ id: "gpt-4-turbo-preview" }] });
  });

  test("goes by priorities rather than numbers, shares by weight, keeps to limits, leaves out what is switched off", async () => {
    const providers = await startProviders({ one: {}, two: {}, three: {} });
    const env = example("numbered-openai/example.env", {
      ...bases(providers),
      OPENAI_PRIORITY_1: "OPENAI_ENABLED_1=false\nOPENAI_PRIORITY_1",
      "OPENAI_PRIORITY_2=2": "OPENAI_PRIORITY_2=7",
      "OPENAI_PRIORITY_3=3": "OPENAI_PRIORITY_3=2",
      "OPENAI_MAX_RPS_3=20": "OPENAI_MAX_RPS_3=1\nOPENAI_WEIGHT_3=5",
    });
    const { chat } = await served({ ".env": env });
    expect([(await chat()).trail, (await chat()).trail]).toEqual([
      "openai-3/gpt-4-turbo-preview#k1 200",
      "openai-2/gpt-4-turbo-preview#k1 200",
    ]);
    expect(providers.one.seen).toEqual([]);
  });

  test("does not fail over when it is told not to, and asks the address of a health check", async () => {
    const providers = await startProviders({
      one: { schedule: [{ kind: "status", status: 500 }] },
      two: {},
      three: {},
    });
    const env = example("numbered-openai/example.env", {
      ...bases(providers),
      "OPENAI_FALLBACK_ENABLED=true": "OPENAI_FALLBACK_ENABLED=false",
    });
    const { chat } = await served({ ".env": env });
    expect(await chat()).toMatchObject({ status: 502, trail: expect.stringMatching(/^openai-1\S+ 500/) });
    expect(providers.two.seen).toEqual([]);
  });

  test("says what it cannot use, by the variable and where it stands", async () => {
    const { program } = {
      program: everhopIn(
        folderWith({
          ".env": "OPENAI_API_KEY_1=sk-test-canary-1\nOPENAI_MAX_RPS_1=many\nOPENAI_PRIORITY_1=-1\nOPENAI_MODEL=m\n",
        }),
        ["check"],
      ),
    };
    expect(await program.exited).toBe(2);
    expect(program.output()).toMatch(
      /OPENAI_PRIORITY_1 +providers\[0\]\.priority +expected a whole number .*, got "?-1/,
    );
    expect(program.output()).toMatch(/OPENAI_MAX_RPS_1 +providers\[0\]\.max_rps +expected a number .*, got "many"/);
    expect(program.output()).not.toContain("canary");
  });
});

describe("the LLAMA_* and QWEN_* environment", () => {
  async function pair(changes: Readonly<Record<string, string>> = {}) {
    const { llama, qwen } = await startProviders({ llama: {}, qwen: {} });
    const env = example("llama-qwen/example.env", {
      "https://api.llama-api.com/v1": llama.baseUrl,
      "QWEN_API_KEY=sk-your-qwen-key": `QWEN_API_KEY=sk-your-qwen-key\nQWEN_API_BASE_URL=${qwen.baseUrl}`,
      ...changes,
    });
    return { llama, qwen, ...(await served({ ".env": env })) };
  }

  test("prefers Llama for what both can do, and goes to Qwen and then to the small Llama when it fails", async () => {
    const { llama, qwen, chat } = await pair();
    expect((await chat()).trail).toBe("llama/Llama-3.3-70B-Instruct#k1 200");
    expect(llama.seen.find(({ method }) => method === "POST")?.headers.authorization).toBe(
      "Bearer LLM|0000000000|your-secret",
    );
    llama.behave({ models: ["Llama-3.3-8B-Instruct"] });
    expect((await chat({ model: "Llama-3.3-70B-Instruct" })).trail).toBe(
      "llama/Llama-3.3-70B-Instruct#k1 404, qwen/qwen-plus#k1 200",
    );
    await qwen.close();
    // What a provider does not serve it is not asked for again for a while.
    expect((await chat()).trail).toMatch(/^qwen\/qwen-plus#k1 transient_fault, llama\/Llama-3\.3-8B-Instruct#k1 200/);
  });

  test("chooses the model by task, and by what a prompt holds", async () => {
    const { chat } = await pair({ "RATE_LIMIT_PER_MINUTE=60\n": "" });
    const servedBy = async (body: Readonly<Record<string, unknown>>) => (await chat(body)).trail.split("#")[0];
    expect(await servedBy({ task: "code" })).toBe("llama/Llama-3.3-70B-Instruct");
    expect(await servedBy({ task: "turbo" })).toBe("qwen/qwen-turbo");
    expect(await servedBy({ model: "anything", task: "long" })).toBe("qwen/qwen-long");
    expect(await servedBy({ messages: holding(image) })).toBe("qwen/Qwen/Qwen2-VL-72B-Instruct");
    expect(await servedBy({ messages: holding(sound) })).toBe("qwen/Qwen/Qwen2-Audio-7B-Instruct");
    expect(await servedBy({ messages: [{ role: "user", content: "字".repeat(40_000) }] })).toBe("qwen/qwen-long");
    expect(await servedBy({ model: "qwen-plus" })).toBe("qwen/qwen-plus");
    expect(await chat({ task: "poetry" })).toMatchObject({
      status: 400,
      json: {
        error: { code: "invalid_request", param: "task", message: expect.stringContaining("one of chat, analysis") },
      },
    });
  });

  test("has Qwen in front when it is told to, or only for what it alone can do", async () => {
    const first = await pair({ "PREFER_LLAMA=true": "PREFER_LLAMA=false" });
    expect((await first.chat({ task: "code" })).trail).toBe("qwen/Qwen/Qwen2.5-Coder-32B-Instruct#k1 200");
    const second = await pair({ "USE_QWEN_FALLBACK=true": "USE_QWEN_FALLBACK=false" });
    second.llama.behave({ schedule: [{ kind: "status", status: 500 }] });
    expect(await second.chat()).toMatchObject({ status: 502, trail: expect.not.stringContaining("qwen") });
    expect((await second.chat({ messages: holding(image) })).trail).toBe("qwen/Qwen/Qwen2-VL-72B-Instruct#k1 200");
  });

  test("keeps to its switches and limits", async () => {
    const { llama, chat } = await pair({
      "ENABLE_AUTO_SWITCH=true": "ENABLE_AUTO_SWITCH=false",
      "RATE_LIMIT_PER_MINUTE=60": "RATE_LIMIT_PER_MINUTE=2",
    });
    llama.behave({ schedule: [{ kind: "status", status: 500 }] });
    expect(await chat()).toMatchObject({ status: 502, trail: expect.not.stringContaining("qwen") });
    await chat();
    expect(await chat()).toMatchObject({ status: 429, json: { error: { code: "rate_limit_exceeded" } } });
  });
});

describe("a folder of model groups", () => {
  async function groups() {
    const { chutes, openrouter } = await startProviders({ chutes: {}, openrouter: {} });
    const bases = { "https://llm.chutes.example/v1": chutes.baseUrl };
    const files = {
      "think.json": example("model-groups/think.json", {
        ...bases,
        "https://openrouter.example/api/v1": openrouter.baseUrl,
      }),
      "nothink.json": example("model-groups/nothink.json", bases),
    };
    return { chutes, openrouter, files };
  }

  const inConfig = (files: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.entries(files).map(([name, text]) => [`config/${name}`, text]));

  test("is a model for each file, its endpoints in their order, each with parameters of its own", async () => {
    const { chutes, openrouter, files } = await groups();
    const { chat, get } = await served(inConfig(files));
    const whole = await chat({ model: "think", temperature: 0.9 });
    expect(whole).toMatchObject({ status: 200, trail: "chutes/deepseek-ai/DeepSeek-R1#k1 200" });
    expect(whole.json.choices[0].message.content).toBe("You said: Hello");
    // The endpoint is talked to in a stream, whatever the caller asks for.
    expect(chats(chutes)[0]).toMatchObject({ temperature: 0.1, max_tokens: 32768, stream: true });
    expect(chutes.seen[0]?.headers.authorization).toBe("Bearer your-chutes-key");
    chutes.behave({ schedule: [{ kind: "status", status: 401 }] });
    const streamed = await chat({ model: "think", stream: true });
    expect(streamed.trail).toBe("chutes/deepseek-ai/DeepSeek-R1#k1 401, openrouter/deepseek/deepseek-r1#k1 200");
    expect(streamed.text).toMatch(/data: \[DONE\]\n\n$/);
    openrouter.behave({ schedule: [{ kind: "status", status: 500 }] });
    expect((await chat({ model: "think" })).status).toBe(502);
    expect(await get("/v1/models")).toMatchObject({ data: [{ id: "nothink" }, { id: "think" }] });
  });

  test("may lie anywhere, and name the environment", async () => {
    const { chutes, files } = await groups();
    const folder = folderWith(files);
    const { chat } = await served({ ".env": "CHUTES_API_KEY=sk-test-canary-chutes\nLOG_LEVEL=true\n" }, [
      "--groups",
      folder,
    ]);
    await chat({ model: "nothink" });
    expect(chutes.seen[0]?.headers.authorization).toBe("Bearer sk-test-canary-chutes");
  });

  test("is told of a mistake by file, line and column, all at once", async () => {
    const folder = folderWith({
      "config/a.json": '[\n  { "baseurl": "ftp://x", "model": "m" },\n  { "model": 7 }\n]',
      "config/b.json": '{ "baseurl": "http://127.0.0.1:1/v1" }',
    });
    const program = everhopIn(folder, ["check"]);
    expect(await program.exited).toBe(2);
    expect(program.output()).toMatch(
      /config\/a\.json:3:3 +\[1\]\.baseurl +expected the endpoint's base URL, got nothing/,
    );
    expect(program.output()).toMatch(
      /config\/a\.json:3:14 +\[1\]\.model +expected the model asked of the endpoint, got 7/,
    );
    expect(program.output()).toMatch(/config\/b\.json:1:1 +model +expected the model asked of the endpoint/);
  });

  test("is no folder of another program", async () => {
    const program = everhopIn(folderWith({ "config/tsconfig.json": '{ "compilerOptions": {} }' }), ["check"]);
    expect(await program.exited).toBe(2);
    expect(program.output()).toMatch(/nothing is configured/);
  });
});

describe("a file of keys", () => {
  async function proxy(keys: string) {
    const { upstream } = await startProviders({ upstream: { keys: ["sk-test-canary-two", "sk-test-canary-new"] } });
    const env = example("keys-file/example.env", { "https://ai.megallm.io/v1": upstream.baseUrl, "PORT=8000": "" });
    return { upstream, ...(await served({ ".env": env, "data/keys.txt": keys })) };
  }

  test("has its keys used in turn, leaves out those that are refused, and serves a default model", async () => {
    const { upstream, chat, get } = await proxy("sk-test-canary-one\nsk-test-canary-two\n");
    const answers = [await chat(), await chat(), await chat({ model: "gpt-4" })];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(chats(upstream).at(-2)).toMatchObject({ model: "openai-gpt-oss-120b" });
    expect(chats(upstream).at(-1)).toMatchObject({ model: "gpt-4" });
    expect(upstream.seen.filter(({ headers }) => headers.authorization === "Bearer sk-test-canary-one")).toHaveLength(
      1,
    );
    expect(await get("/health")).toMatchObject({ status: "healthy", key_stats: { total: 2, available: 1, failed: 1 } });
  });

  test("is read again when it changes, and says 503 as long as no key is left", async () => {
    const { folder, program, chat } = await proxy("sk-test-canary-one\n");
    expect((await chat()).status).toBe(502);
    const refused = await chat();
    expect(refused).toMatchObject({ status: 503, json: { error: { code: "service_unavailable" } } });
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    appendFileSync(join(folder, "data/keys.txt"), "sk-test-canary-new\n");
    await program.said(/keys\.txt: .* was read again/);
    expect((await chat()).status).toBe(200);
    // A file that cannot be used is told, and changes nothing.
    writeFileSync(join(folder, "data/keys.txt"), "not a key\n");
    await program.said(/everything stays as it was\. .*\n.*data\/keys\.txt|everything stays as it was/);
    expect((await chat()).status).toBe(200);
    expect(program.output()).not.toContain("canary");
  });

  test("comes last: a provider of the environment counts more, and the file is said to be left alone", async () => {
    const folder = folderWith({
      "data/keys.txt": "sk-test-canary-one\n",
      ".env": "OPENAI_API_KEY=sk-test-canary-two\n",
    });
    const program = everhopIn(folder, ["check"]);
    expect(await program.exited).toBe(0);
    expect(program.output()).toMatch(
      /Note: data\/keys\.txt and the MEGALLM_\* environment is not used: the environment names the providers/,
    );
    expect(program.output()).toMatch(/base_url: https:\/\/api\.openai\.com\/v1/);
  });
});
