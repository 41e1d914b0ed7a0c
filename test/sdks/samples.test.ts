import { execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";
import { describe, expect, test } from "vitest";
import { root } from "../support/program.ts";
import { readAll } from "../support/rest.ts";
import { type Lab, type LabSetup, openLab } from "./lab.ts";
import { hasPythons, pythons } from "./python.ts";

const hasCurl = (() => {
  try {
    execFileSync("curl", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    console.warn("SKIPPED: the samples for curl, for there is none here");
    return false;
  }
})();

/** What a program has said. */
interface Said {
  readonly code: number | null;
  readonly out: string;
  readonly errors: string;
}

const interpreters = {
  legacy: [pythons.legacy, "-u", "-"],
  current: [pythons.current, "-u", "-"],
  javascript: [process.execPath, "--input-type=module", "-"],
  curl: ["bash", "-s"],
} as const;

/** Runs a sample as it stands but for the address, and for what a test wants to be different. */
function run(
  { address }: Lab,
  kind: keyof typeof interpreters,
  name: string,
  changes: Readonly<Record<string, string>> = {},
): Promise<Said> {
  let text = readFileSync(join(import.meta.dirname, "samples", kind, name), "utf8");
  for (const [from, to] of Object.entries({ "http://localhost:8000": address, ...changes })) {
    expect(text).toContain(from);
    text = text.replaceAll(from, to);
  }
  const [program, ...args] = interpreters[kind];
  const child = spawn(program, args, { cwd: root });
  let out = "";
  let errors = "";
  child.stdout.on("data", (piece) => {
    out += piece;
  });
  child.stderr.on("data", (piece) => {
    errors += piece;
  });
  child.stdin.end(text);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out, errors }));
  });
}

const callers = [
  { name: "team-a", key: "YOUR_API_KEY" },
  { name: "team-b", key: "your-api-key" },
];
/** Where callers need keys, unlike where there is no configuration but that of providers. */
const withKeys = (setup: LabSetup = {}, limits: object = {}) =>
  openLab({ ...setup, config: { auth: { callers: callers.map((caller) => ({ ...caller, ...limits })) } } });
const fails = { schedule: [{ kind: "status", status: 500 }] } as const;
const refuses = (status: number) => ({ schedule: [{ kind: "status", status }] }) as const;

const harbour = "You said: Which way to the harbour?";
const lighthouse = "You said: And from there to the old lighthouse?";

describe.skipIf(!hasPythons)("a program for OpenAI's SDK as it was before 1.0 runs as it stands:", () => {
  test("it asks and prints the answer", async () => {
    await using lab = await withKeys();
    expect(await run(lab, "legacy", "quick_start.py")).toEqual({ code: 0, out: `${harbour}\n`, errors: "" });
    expect(lab.calls.map(({ path }) => path)).toEqual(["/v1/chat/completions"]);
  });

  test("a class around it asks for whole and for streamed answers", async () => {
    await using lab = await withKeys();
    const { out, errors } = await run(lab, "legacy", "orchestrator.py");
    expect({ out, errors }).toEqual({ out: `${harbour}\n${lighthouse}`, errors: "" });
    expect(lab.calls.length).toBe(2);
    const [whole] = lab.providers["openai-primary"].seen;
    expect(whole?.json).toMatchObject({ temperature: 0.7, messages: [{ role: "system" }, { role: "user" }] });
  });

  test.each([
    { told: "served", setup: {}, changes: {} },
    { told: "the key was refused", setup: {}, changes: { YOUR_API_KEY: "sk-test-canary-wrong" } },
    { told: "a bad request: There is no model", setup: {}, changes: { "gpt-3.5-turbo": "gpt-nobody" } },
    {
      told: "a bad request: The provider refused the content",
      setup: { behaviour: { schedule: [{ kind: "status", status: 400, code: "content_filter" }] } } as const,
      changes: {},
    },
    { told: "the API failed: Every attempt failed", setup: { behaviour: fails }, changes: {} },
    // Whoever keeps the providers' keys, not the caller, has to be told of these.
    { told: "the API failed: Every attempt failed", setup: { behaviour: refuses(401) }, changes: {} },
    {
      told: "too many requests",
      setup: { behaviour: { schedule: [{ kind: "status", status: 429, headers: { "retry-after": "60" } }] } } as const,
      changes: {},
    },
  ])("it tells errors apart by their classes: $told", async ({ told, setup, changes }) => {
    await using lab = await withKeys(setup);
    const { code, out } = await run(lab, "legacy", "errors.py", changes);
    expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(`^${told}`) });
    expect(lab.calls.length).toBe(1);
  });

  test("its own rate limit is one of them", async () => {
    await using lab = await withKeys({}, { rpm: 1 });
    expect((await run(lab, "legacy", "errors.py")).out).toBe("served\n");
    expect((await run(lab, "legacy", "errors.py")).out).toBe("too many requests\n");
  });

  test("it tries again by itself, and is served when the outage is over", async () => {
    await using lab = await withKeys({ behaviour: fails });
    const running = run(lab, "legacy", "retries.py");
    while (lab.calls[0]?.endedAt === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
    for (const provider of Object.values(lab.providers)) provider.behave({ schedule: [] });
    expect((await running).out).toBe("You said: Is anybody there?\n");
    expect(lab.calls.map(({ status }) => status)).toEqual([502, 200]);
  });

  test("it sets a timeout, which the SDK keeps to itself", async () => {
    await using lab = await withKeys();
    expect((await run(lab, "legacy", "timeout.py")).out).toBe("You said: Be quick!\n");
    expect(lab.providers["openai-primary"].seen[0]?.json).not.toHaveProperty("timeout");
  });

  test("the pieces of a stream, joined, are the whole answer", async () => {
    await using lab = await withKeys({ behaviour: { eventPerWrite: true } });
    const answer = "You said: Name four winds, please, and where each comes from.";
    expect((await run(lab, "legacy", "streaming.py")).out).toBe(`${answer}\n'${answer}'\n`);
  });

  test("a stream that breaks is told, and nothing is returned for it", async () => {
    await using lab = await withKeys({ behaviour: { schedule: [{ kind: "cut_after", events: 4 }] } });
    const { out } = await run(lab, "legacy", "streaming.py");
    expect(out).toMatch(/^You said: Name\nfailed: The answer broke off.*\n\nNone\n$/);
  });

  test.each([
    { title: "the provider that it names", failing: [], served: "openai-primary" },
    { title: "the first of the others when that one fails", failing: ["openai-primary"], served: "openai-backup" },
    { title: "the second of them when both fail", failing: ["openai-primary", "openai-backup"], served: "anthropic" },
  ])("it is served by $title", async ({ failing, served }) => {
    await using lab = await withKeys({ behaviours: Object.fromEntries(failing.map((name) => [name, fails])) });
    expect((await run(lab, "legacy", "failover.py")).out).toBe(`${served}\n`);
  });

  test("it saves by a cheaper model and a limit of tokens", async () => {
    await using lab = await withKeys();
    expect((await run(lab, "legacy", "cost.py")).out).toBe("gpt-3.5-turbo 100 length\ngpt-4 100 length\n");
  });

  test("it writes down what it has asked and used", async () => {
    await using lab = await withKeys();
    const { code, errors } = await run(lab, "legacy", "request_log.py");
    expect(code).toBe(0);
    expect(errors).toMatch(/INFO:__main__:asking: .*Write this down.*\n(.*\n)*INFO:__main__:served, tokens: 8\n/);
    await using broken = await withKeys({ behaviour: fails });
    const failed = await run(broken, "legacy", "request_log.py");
    expect(failed.code).toBe(1);
    expect(failed.errors).toMatch(/ERROR:__main__:failed: Every attempt failed/);
  });

  test("a pool of connections is set beside it", async () => {
    await using lab = await withKeys();
    const { out, errors } = await run(lab, "legacy", "connection_pool.py");
    expect({ out, errors }).toEqual({
      out: [0, 1, 2].map((number) => `You said: Question ${number}\n`).join(""),
      errors: "",
    });
  });

  test("it asks three at once", async () => {
    await using lab = await withKeys();
    expect((await run(lab, "legacy", "batch.py")).out).toBe(
      [1, 2, 3].map((number) => `You said: Question ${number}\n`).join(""),
    );
    expect(lab.calls.length).toBe(3);
  });

  test("the answer's id is the provider's own, and there is one", async () => {
    await using lab = await withKeys();
    expect((await run(lab, "legacy", "request_id.py")).out).toMatch(/^Request ID: chatcmpl-\w+\n$/);
    expect(lab.calls[0]?.answered["x-request-id"]).toMatch(/./);
  });

  test("it reads how long it took, what was used and who answered", async () => {
    await using lab = await withKeys({ behaviours: { "openai-primary": fails } });
    const { out } = await run(lab, "legacy", "performance.py");
    expect(out).toMatch(/^took \d+\.\d\d s, \d+ ms of it at the gateway\ntokens: 4\nprovider: openai-backup\n$/);
  });
});

describe("a program for OpenAI's SDK in JavaScript runs as it stands:", () => {
  test("it asks for whole and for streamed answers", async () => {
    await using lab = await withKeys();
    expect(await run(lab, "javascript", "chat.mjs")).toEqual({ code: 0, out: `${harbour}\n${lighthouse}`, errors: "" });
  });
});

describe.skipIf(!hasPythons)("a program for a gateway without keys and with a default model runs as it stands:", () => {
  test("by plain HTTP it need not name a model", async () => {
    await using lab = await openLab();
    expect(await run(lab, "current", "plain_http.py")).toEqual({
      code: 0,
      out: ["openai-gpt-oss-120b", "gpt-4"].map((model) => `${model} You said: What is a sextant?\n`).join(""),
      errors: "",
    });
  });

  test("with Python's SDK it names one", async () => {
    await using lab = await openLab();
    expect((await run(lab, "current", "named_model.py")).out).toBe("gpt-4 You said: Hello!\n");
  });

  test("Python's SDK insists on a name before it asks anybody, and takes an empty one", async () => {
    await using lab = await openLab();
    const { code, errors } = await run(lab, "current", "default_model.py");
    expect(code).toBe(1);
    expect(errors).toMatch(/TypeError: Missing required arguments; Expected either .*'model'/);
    expect(lab.calls).toEqual([]);
    const named = await run(lab, "current", "default_model.py", { "create(\n": 'create(\n    model="",\n' });
    expect(named.out).toBe("You said: Hello!\n");
    expect(lab.providers["openai-primary"].seen[0]?.model).toBe("openai-gpt-oss-120b");
  });
});

describe("JavaScript's SDK leaves out the model where a program does:", () => {
  test.each([{ model: undefined }, { model: "" }])("$model is the default", async ({ model }) => {
    await using lab = await openLab();
    const client = new OpenAI({ baseURL: `${lab.address}/v1`, apiKey: "dummy" });
    const messages = [{ role: "user" as const, content: "Hello!" }];
    // Programs without types leave it out.
    const body = { messages, ...(model !== undefined && { model }) } as OpenAI.ChatCompletionCreateParamsNonStreaming;
    const answer = await client.chat.completions.create(body);
    expect(answer.model).toBe("openai-gpt-oss-120b");
    expect(answer.choices[0]?.message.content).toBe("You said: Hello!");
  });
});

describe.skipIf(!hasCurl)("curl is told, as it stands,", () => {
  const json = async (lab: Lab, name: string) => JSON.parse((await run(lab, "curl", name)).out) as unknown;

  test.each(["chat.sh", "other_header.sh"])("a whole answer by %s", async (name) => {
    await using lab = await withKeys();
    expect(await json(lab, name)).toEqual({
      id: expect.stringMatching(/^chatcmpl-/),
      object: "chat.completion",
      created: expect.any(Number),
      model: "gpt-3.5-turbo",
      system_fingerprint: expect.any(String),
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: harbour, refusal: null },
          logprobs: null,
          finish_reason: "stop",
        },
      ],
      usage: { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 },
      provider: "openai-primary",
      latency_ms: expect.any(Number),
    });
  });

  test("which provider has served when its first fails", async () => {
    await using lab = await withKeys({ behaviours: { "openai-primary": fails } });
    expect(await json(lab, "provider.sh")).toMatchObject({ provider: "openai-backup" });
  });

  test("a stream whose pieces are the answer and whose end is said", async () => {
    await using lab = await withKeys();
    const events = await readAll(new Response((await run(lab, "curl", "stream.sh")).out));
    expect(events.at(-1)).toBe("[DONE]");
    const chunks = events.slice(0, -1).map((event) => JSON.parse(event));
    expect(new Set(chunks.map(({ object, id }) => `${object} ${id}`)).size).toBe(1);
    expect(chunks[0]?.object).toBe("chat.completion.chunk");
    const text = chunks.map(({ choices }) => choices[0]?.delta?.content ?? "").join("");
    expect(text).toBe("You said: Count the lights along the coast");
  });

  test("an answer of the default model", async () => {
    await using lab = await openLab();
    expect(await json(lab, "default_model.sh")).toMatchObject({
      model: "openai-gpt-oss-120b",
      provider: "openai-primary",
    });
  });

  test("the models there are, and one of them", async () => {
    await using lab = await withKeys();
    const all = (await json(lab, "models.sh")) as OpenAI.ModelsPage;
    expect(all.data.map(({ id }) => id)).toContain("anthropic:gpt-4");
    expect(all.data).toContainEqual(await json(lab, "model.sh"));
    expect(await json(lab, "model.sh")).toEqual({
      ...{ id: "openai-primary:gpt-3.5-turbo", object: "model", created: expect.any(Number) },
      owned_by: expect.any(String),
    });
  });

  test("that the gateway is there, without a key", async () => {
    await using lab = await withKeys();
    expect(await json(lab, "health.sh")).toMatchObject({ status: "healthy" });
  });
});
