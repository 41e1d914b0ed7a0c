import { expect, test } from "vitest";
import type { Fault } from "../../src/providers/simulated/fault.ts";
import { disguises } from "../support/disguises.ts";
import { startProviders } from "../support/gateway.ts";
import { configFile, serve } from "../support/program.ts";
import { openWire, rpcNames } from "../support/wires.ts";

/** Planted where it must not be seen again. Blanks and quotes too, so that each encoding looks different. */
const secrets = {
  caller: "sk-test-canary-caller-7f3a",
  admin: "sk-test-canary-admin-7f3a-0123456789abcdef",
  // Without the beginning by which keys are known at sight.
  provider: "plain-test-canary-provider-7f3a",
  wrong: "sk-test-canary-wrong-7f3a",
  prompt: 'canary "prompt" 7f3a + ümlaut',
};

/** What a provider might do that makes somebody talk. */
const mishaps = (key: string): readonly Fault[] => [
  { kind: "status", status: 401, message: `Incorrect API key provided: ${key}` },
  { kind: "status", status: 400, message: `Bad header: Bearer ${key}`, code: key },
  { kind: "status", status: 500, shape: "text" },
  { kind: "error_event_after", message: `key ${key} is suspended`, code: key },
  { kind: "html" },
  { kind: "not_json" },
  { kind: "cut_after" },
  { kind: "malformed_after" },
  { kind: "reset_before_headers" },
];

test("no key and no prompt is seen again in a log line, an error or a header, whatever goes wrong", async () => {
  let next = 0;
  const count = mishaps("").length;
  const providers = await startProviders({
    only: { schedule: (_, key = "") => mishaps(key)[next++ % count] ?? { kind: "none" }, eventPerWrite: true },
  });
  const config = {
    server: { port: 0, cors: { origins: ["*"] } },
    auth: { callers: [{ name: "team", key: secrets.caller }], admin_keys: [secrets.admin] },
    providers: [
      {
        name: "only",
        base_url: providers.only.baseUrl,
        // Each is refused once.
        keys: Array.from({ length: 60 }, (_, index) => `${secrets.provider}-${index}`),
        models: ["m"],
      },
    ],
    routing: { breaker: { enabled: false }, last_patience: 0, backoff: { base: "1ms", max: "1ms" } },
    log: { level: "debug" },
    drain: { pre_stop: 0 },
  };
  const program = serve(["--config", configFile(JSON.stringify(config))]);
  const [, address = ""] = await program.said(/listens on (http:\S+)/);
  const seen: string[] = [];
  const keep = async (response: Response) => {
    seen.push(JSON.stringify([...response.headers]), await response.text().catch((error) => String(error)));
  };
  const json = { "content-type": "application/json" };
  for (let round = 0; round < count * 2; round += 1) {
    const body = { model: "m", stream: round % 2 === 1, messages: [{ role: "user", content: secrets.prompt }] };
    await keep(
      await fetch(`${address}/v1/chat/completions`, {
        method: "POST",
        headers: { ...json, authorization: `Bearer ${secrets.caller}`, "x-everhop-include-trail": "true" },
        body: JSON.stringify(body),
      }),
    );
    for (const name of rpcNames) {
      const wire = openWire(name, address);
      for (const ask of [wire.complete, wire.stream]) {
        const told = await ask(
          { text: secrets.prompt, model: "m" },
          { headers: { "x-api-key": secrets.caller } },
        ).catch((error: unknown) => error);
        // An answer repeats the prompt, for that is what a simulated provider answers with.
        if (told instanceof Error)
          seen.push(
            told.message,
            JSON.stringify(told),
            String((told as { headers?: Headers }).headers && [...((told as { headers?: Headers }).headers ?? [])]),
          );
      }
    }
  }
  for (const headers of [
    { authorization: `Bearer ${secrets.wrong}` },
    { authorization: `Bearer ${secrets.admin}` },
    { "x-api-key": secrets.wrong },
    { authorization: `Bearer ${secrets.caller}`, "x-api-key": secrets.wrong },
  ] as Record<string, string>[]) {
    await keep(await fetch(`${address}/v1/models`, { headers }));
    await keep(
      await fetch(`${address}/v1/chat/completions`, {
        method: "POST",
        headers: { ...json, ...headers },
        body: `{"messages": "${encodeURIComponent(secrets.prompt)}"`,
      }),
    );
  }
  await keep(await fetch(`${address}/v1/models?key=${secrets.wrong}`, { headers: { "x-api-key": secrets.caller } }));
  await keep(await fetch(`${address}/health`, { headers: { "x-admin-key": secrets.admin } }));
  program.child.kill("SIGTERM");
  expect(await program.exited).toBe(0);
  expect(program.output()).toContain("hop");
  const everything = [program.output(), ...seen].join("\n");
  // Whatever the providers have answered well holds the prompt; of errors there must be many that do not.
  expect(everything.match(/all_providers_failed|stream_interrupted|invalid_request/g)?.length).toBeGreaterThan(10);
  for (const [name, secret] of Object.entries(secrets)) {
    const found = disguises(secret).filter((disguise) => everything.includes(disguise));
    expect([
      name,
      found.map((disguise) =>
        everything.slice(Math.max(0, everything.indexOf(disguise) - 80), everything.indexOf(disguise) + 60),
      ),
    ]).toEqual([name, []]);
  }
}, 60_000);
