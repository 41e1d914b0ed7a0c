import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Fault } from "../../src/providers/simulated/fault.ts";
import { disguises } from "../support/disguises.ts";
import { startProviders } from "../support/gateway.ts";
import { folderWith } from "../support/program.ts";
import { openWire, rpcNames } from "../support/wires.ts";
import { besides, jsonLines, serveLogged } from "./log-program.ts";

/** Planted where it must not be seen again. Blanks and quotes too, so that each encoding looks different. */
const secrets = {
  caller: "sk-test-canary-caller-4c1d",
  admin: "sk-test-canary-admin-4c1d-0123456789abcdef",
  // Without the beginning by which keys are known at sight.
  provider: "plain-test-canary-provider-4c1d",
  collector: "plain-test-canary-collector-4c1d",
  wrong: "sk-test-canary-wrong-4c1d",
  prompt: 'canary "prompt" 4c1d + ümlaut',
  answer: 'canary "answer" 4c1d + ümlaut',
};

/** What a provider might do that makes somebody talk. */
const mishaps = (key: string): readonly Fault[] => [
  { kind: "none" },
  { kind: "status", status: 401, message: `Incorrect API key provided: ${key}`, code: key },
  { kind: "status", status: 429, message: `${secrets.prompt} for ${key}`, code: secrets.prompt, type: key },
  { kind: "status", status: 400, message: `Bad header: Bearer ${key}, body ${secrets.prompt}`, code: secrets.prompt },
  { kind: "status", status: 500, shape: "text", message: `${key} ${secrets.prompt}` },
  { kind: "error_event_after", message: `key ${key} is suspended: ${secrets.answer}`, code: secrets.answer },
  { kind: "html" },
  { kind: "cut_after" },
  { kind: "malformed_after" },
  { kind: "reset_before_headers" },
];

/** Breaks, as a bug of ours would, with secrets in what it says. */
const broken = `process.on("SIGUSR2", () => { throw new TypeError("so says " + ${JSON.stringify(
  [secrets.caller, secrets.admin, secrets.provider, secrets.collector].join(" "),
)}); });`;

test("no key, no prompt and no answer is seen again in any line, wherever it goes and whatever goes wrong", async () => {
  let next = 0;
  const count = mishaps("").length;
  const { only } = await startProviders({
    only: {
      schedule: (_, key = "") => mishaps(key)[next++ % count] ?? { kind: "none" },
      text: secrets.answer,
      eventPerWrite: true,
    },
  });
  const file = join(folderWith({}), "everhop.log");
  const config = {
    server: { port: 0 },
    auth: { callers: [{ name: "team", key: secrets.caller }], admin_keys: [secrets.admin] },
    providers: [
      {
        name: "only",
        base_url: only.baseUrl,
        // Each is refused once.
        keys: [secrets.provider, ...Array.from({ length: 60 }, (_, index) => `${secrets.provider}-${index}`)],
        models: ["m"],
      },
    ],
    models: [{ name: "think", stream_recovery: "continue", targets: [{ provider: "only", model: "m" }] }],
    routing: { breaker: { enabled: false }, last_patience: 0, backoff: { base: "1ms", max: "1ms" } },
    telemetry: { otlp: { endpoint: "http://127.0.0.1:9", headers: { authorization: secrets.collector } } },
    log: { level: "debug", format: "json", file },
    drain: { pre_stop: 0 },
  };
  const program = await serveLogged(config, {
    DEBUG: "*",
    NODE_OPTIONS: `--import=${join(folderWith({ "broken.mjs": broken }), "broken.mjs")}`,
  });
  const { address } = program;
  const json = { "content-type": "application/json" };
  const known = { authorization: `Bearer ${secrets.caller}` };
  const prompt = { model: "think", messages: [{ role: "user", content: secrets.prompt }] };
  for (let round = 0; round < count * 2; round += 1) {
    await program.chat({ ...prompt, stream: round % 2 === 1 }, known);
    for (const name of rpcNames) {
      const wire = openWire(name, address);
      for (const ask of [wire.complete, wire.stream]) {
        await ask({ text: secrets.prompt, model: "think" }, { headers: { "x-api-key": secrets.caller } }).catch(
          () => {},
        );
      }
    }
  }
  for (const headers of [
    known,
    { authorization: `Bearer ${secrets.wrong}` },
    { "x-admin-key": secrets.admin, "user-agent": secrets.wrong, cookie: secrets.wrong },
    { ...known, "x-api-key": secrets.wrong },
  ] as Record<string, string>[]) {
    await fetch(`${address}/v1/chat/completions`, {
      method: "POST",
      headers: { ...json, ...headers },
      body: `{"messages": "${secrets.prompt}"`,
    });
    await fetch(`${address}/v1/chat/completions`, {
      method: "POST",
      headers: { ...json, ...headers },
      body: JSON.stringify({ ...prompt, temperature: secrets.prompt }),
    });
    await fetch(`${address}/v1/models?key=${secrets.wrong}`, { headers });
    await fetch(`${address}/${secrets.wrong}/${encodeURIComponent(secrets.prompt)}`, { headers });
  }
  writeFileSync(
    besides(program, "everhop.yaml"),
    JSON.stringify({ ...config, auth: { ...config.auth, callers: [{ name: secrets.provider, key: "" }] } }),
  );
  await program.said(/everything stays as it was/);
  await program.said(/does not take traces/);
  program.child.kill("SIGUSR2");
  expect(await program.exited).toBe(1);
  // It was told, with what is secret in it taken out, and in the log by its name alone.
  expect(program.output()).toMatch(/crash: TypeError: so says \[secret\] \[secret\] \[secret\] \[secret\]\n/);
  const lines = jsonLines(readFileSync(file, "utf8"));
  expect(lines).toContainEqual(
    expect.objectContaining({ level: "error", ns: "everhop:server", error: "TypeError", at: expect.any(Array) }),
  );
  const outcomes = new Set(lines.map(({ outcome }) => outcome));
  for (const each of ["ok", "all_failed", "invalid_request", "unauthorized", "unknown_route"]) {
    expect(outcomes).toContain(each);
  }
  expect(lines.filter((line) => line["switch"] !== undefined).length).toBeGreaterThan(10);
  const everything = `${program.output()}\n${readFileSync(file, "utf8")}`;
  for (const [name, secret] of Object.entries(secrets)) {
    const found = disguises(secret).filter((disguise) => everything.includes(disguise));
    const around = found.map((each) => {
      const at = everything.indexOf(each);
      return everything.slice(Math.max(0, at - 80), at + 60);
    });
    expect([name, around]).toEqual([name, []]);
  }
}, 60_000);
