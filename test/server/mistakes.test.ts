import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { everhopIn, folderWith } from "../support/program.ts";

/** What the product says of a folder with these files. */
async function told(
  files: Readonly<Record<string, string>>,
  env: Record<string, string> = {},
  args: readonly string[] = ["check"],
) {
  const program = everhopIn(folderWith(files), args, env);
  const code = await program.exited;
  return { code, output: program.output() };
}

const provider = `providers: [{ name: a, base_url: "http://127.0.0.1:1/v1", keys: ["\${A_KEY}"] }]\n`;
const canary = "sk-test-canary-in-the-wrong-place";

describe("what is wrong with a configuration is told", () => {
  const numbered = {
    ...{ OPENAI_API_KEY_1: canary, OPENAI_BASE_URL_1: canary, OPENAI_PRIORITY_1: "1.5", OPENAI_WEIGHT_1: canary },
    ...{ OPENAI_MAX_RPS_1: canary, OPENAI_TIMEOUT_MS_1: "-5", OPENAI_ENABLED_1: canary, OPENAI_HEALTH_CHECK_1: canary },
    ...{ OPENAI_MODEL: `${canary} x`, OPENAI_FALLBACK_ENABLED: "2", OPENAI_MAX_RETRIES: "x", OPENAI_BACKOFF_MS: "y" },
    ...{ OPENAI_CIRCUIT_BREAKER: "z", EVERHOP_OPEN: canary },
  };
  const pair = {
    ...{ LLAMA_API_KEY: `${canary} x`, LLAMA_API_BASE_URL: "LLM|1|canary-secret", QWEN_API_KEY: `"${canary}"` },
    ...{ QWEN_API_BASE_URL: "https://user:canary@127.0.0.1/v1", USE_QWEN_FALLBACK: canary, PREFER_LLAMA: canary },
    ...{ ENABLE_AUTO_SWITCH: canary, HEALTH_CHECK_INTERVAL: "0", MAX_RETRY_COUNT: "-1", REQUEST_TIMEOUT: canary },
    ...{ MAX_CONCURRENT_REQUESTS: "0", RATE_LIMIT_PER_MINUTE: canary, LLAMA_MODEL_CODE: "a b" },
  };
  const keysFile = {
    ...{ MEGALLM_BASE_URL: canary, MEGALLM_TIMEOUT: canary, MEGALLM_MAX_RETRIES: canary, MAX_KEY_RETRIES: "many" },
    ...{ PORT: "99999" },
  };

  test.each([
    ["OPENAI_*", numbered, ["OPENAI_API_KEY_1"]],
    ["LLAMA_* and QWEN_*", pair, []],
    ["MEGALLM_*", keysFile, []],
  ] as const)(
    "by each variable of %s, with no secret and no stack, to people and to programs",
    async (_, env, right) => {
      const files = { "data/keys.txt": `${canary}\r\n\r\n# a comment\r\n` };
      for (const args of [["check"], ["check", "--json"], ["serve"]]) {
        const { code, output } = await told(files, { ...env }, args);
        expect(code).toBe(2);
        expect(output).not.toMatch(/canary|\n +at /);
        const unnamed = Object.keys(env).filter((name) => !(right as readonly string[]).includes(name));
        for (const name of unnamed) expect(output).toMatch(new RegExp(`\\b${name}\\b`));
      }
    },
  );

  test("with no secret, wherever in the file one has been put", async () => {
    const { output, code } = await told({
      "everhop.yaml": `providers:
  - { name: a, base_url: ${canary}, kind: "${canary}-${"x".repeat(64)}", keys_file: ${canary}, timeout: ${canary} }
  - { name: b, base_url: http://127.0.0.1/v1, keys: [1234567890123456, "'${canary}'"], ${canary}: 1 }
auth: { open: ${canary}, callers: ${canary}, admin_keys: [${canary.slice(0, 20)}] }
server: ${canary}
defaults: { model: [${canary}] }
`,
    });
    expect(code).toBe(2);
    expect(output.replaceAll(`providers[1].${canary}`, "")).not.toMatch(/canary|1234567890/);
    expect(output).toMatch(/providers\[1\]\.keys\[0\] +expected a text, got \[secret\]/);
    expect(output).toMatch(/providers\[1\]\.keys\[1\] +expected a key without quotes around it/);
    expect(output).toMatch(/auth\.callers +expected a list, got \[secret\]/);
    expect(output).toMatch(/auth\.open +expected true or false, got \[secret\]/);
    const missing = await told({ "everhop.yaml": provider.replace(/keys: \[.*?\]/, `keys_file: ${canary}`) });
    expect(missing.output).toMatch(/providers\[0\]\.keys_file +there is no such file, got \[secret\]/);
  });

  test("where a variable is named in a way that is not understood, which would else become a key", async () => {
    const text = provider.replace(/"\$.*"/, () => `"\${A_KEY-x}", "\${A_KEY:-\${B_KEY}}", "\${A_KEY:?must be set}"`);
    const { output } = await told({ "everhop.yaml": text }, { A_KEY: canary });
    const wrong = output.match(/providers\[0\]\.keys\[\d\] +expected variables as \$\{NAME\} or \$\{NAME:-default\}/g);
    expect(wrong).toHaveLength(3);
  });

  test("once for each value, and of every model group, whatever is wrong with the others", async () => {
    const { output, code } = await told({
      "config/a.json": '{ "baseurl": ',
      "config/b.json": "",
      "config/c.json": `"${canary}"`,
      "config/d.json": '[[{ "baseurl": "http://127.0.0.1:1/v1" }]]',
      "config/e.json": '{ "baseurl": "http://127.0.0.1:1/v1", "model": "m", "apikey": 1234567890 }',
    });
    expect(code).toBe(2);
    expect(output).not.toMatch(/canary|1234567890/);
    const places = output
      .split("\n")
      .flatMap((line) => /^ {2}(\S+) +(\S.*?) {2}/.exec(line)?.slice(1, 3).join(" ") ?? []);
    expect(places).toEqual([
      "config/a.json:1:1 (the file)",
      "config/b.json:1:1 (the file)",
      "config/c.json:1:1 (the whole)",
      "config/d.json:1:2 [0]",
      "config/e.json:1:63 apikey",
    ]);
  });

  test("by check, too, when everybody would be served at an address that others can reach", async () => {
    const file = { "everhop.yaml": `server: { host: 0.0.0.0 }\n${provider}` };
    for (const args of [["check"], ["serve"]]) {
      const { code, output } = await told(file, { A_KEY: canary }, args);
      expect(code).toBe(2);
      expect(output).toMatch(
        /server\.host +0\.0\.0\.0 is not loopback: expected auth\.callers .* \(EVERHOP_OPEN=true\)/,
      );
    }
    expect((await told(file, { A_KEY: canary, EVERHOP_OPEN: "true" })).code).toBe(0);
  });

  test("at once when the port is taken, although there are health checks to be made", async () => {
    const server = createServer();
    const port = await new Promise<number>((resolve) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address();
        resolve(typeof address === "object" && address ? address.port : 0);
      });
    });
    const checked = provider.replace("keys:", "models: [m], health_check: { interval: 1h }, keys:");
    const { code, output } = await told({ "everhop.yaml": checked }, { A_KEY: canary }, ["serve", "--port", `${port}`]);
    server.close();
    expect(code).toBe(2);
    expect(output).toMatch(/server\.port +expected a free port/);
  });

  test("whatever a file is made of: too deep, too large, aliases without end, and no mapping", async () => {
    const folder = folderWith({
      "deep.yaml": `x: ${"[".repeat(20_000)}`,
      "bomb.yaml": `a: &a [x, x, x, x, x, x, x, x, x]\n${[..."bcdefgh"]
        .map((name, index) => `${name}: &${name} [${Array(9).fill(`*${"abcdefgh"[index]}`)}]\n`)
        .join("")}`,
      "itself.yaml": "x: &a\n  <<: *a\n",
      "large.yaml": `# ${"x".repeat(9 * 2 ** 20)}`,
      "list.yaml": "- a\n",
      "tabs.yaml": "providers:\n\t- name: a\n",
      "twice.yaml": "providers: []\nproviders: []\n",
    });
    mkdirSync(join(folder, "folder.yaml"));
    const names = ["deep", "bomb", "itself", "large", "list", "tabs", "twice", "folder"];
    for (const name of names) {
      const program = everhopIn(folder, ["check", `${name}.yaml`]);
      expect(await program.exited, name).toBe(2);
      expect(program.output(), name).toMatch(new RegExp(`^${name}\\.yaml cannot be used:\\n {2}\\(the file\\) `));
    }
  });
});

describe("what is unusual but right is taken", () => {
  test("from an .env as Windows writes it: a mark in front, CRLF, quotes, several lines, comments", async () => {
    const dotenv = [
      `\ufeffA_KEY=${canary}`,
      'export URL="http://127.0.0.1:1/v1" # where',
      "NAME='a'",
      'OTHER="A_KEY=x\n',
      'still"',
    ];
    const { code, output } = await told({
      ".env": dotenv.join("\r\n"),
      "everhop.yaml": `providers: [{ name: "\${NAME}", base_url: "\${URL}", keys: ["\${A_KEY}"] }]\n`,
    });
    expect([code, output]).toEqual([
      0,
      expect.stringMatching(/base_url: http:\/\/127\.0\.0\.1:1\/v1 +# .*URL \(\.env:2\)/),
    ]);
    const folder = folderWith({ "everhop.yaml": provider });
    mkdirSync(join(folder, ".env"));
    const program = everhopIn(folder, ["check"], { A_KEY: canary });
    expect(await program.exited).toBe(0);
    expect(program.output()).toMatch(/Note: \.env cannot be read \(EISDIR\)/);
  });

  test("from numbers with gaps, and a health check without a model, which is told to check nothing", async () => {
    const { code, output } = await told(
      {},
      { OPENAI_API_KEY: canary, OPENAI_API_KEY_7: canary, OPENAI_HEALTH_CHECK_7: "/models" },
    );
    expect(code).toBe(0);
    expect(parse(output)).toMatchObject({ providers: [{ name: "openai" }, { name: "openai-7" }] });
    expect(output).toMatch(/Note: OPENAI_HEALTH_CHECK_7 is not used: there is no OPENAI_MODEL/);
    const checked = await told({}, { OPENAI_API_KEY_7: canary, OPENAI_HEALTH_CHECK_7: "/up", OPENAI_MODEL: "m" });
    expect(parse(checked.output)).toMatchObject({ providers: [{ health_check: { path: "/up" } }] });
  });

  test("from model groups: labels of any kind, nothing for a value, an endpoint twice, texts for numbers", async () => {
    const base = '"baseurl": "http://127.0.0.1:1/v1", "model": "m"';
    const { code, output } = await told({
      "config/a.json": `[{ ${base}, "type": "硅 基/flow", "timeout": "30", "stream": "true", "temperature": "0.1" },
        { ${base}, "type": "硅 基/flow", "temperature": 0.5 }]`,
      "config/A.json": `{ ${base}, "type": null, "apikey": null, "timeout": null }`,
      "config/b.json": `\ufeff{ ${base}, "type": "", "apikey": "" }`,
    });
    expect([code, output]).toEqual([
      0,
      expect.stringMatching(/Note: config\/a\.json:2:\d+ is not used: flow\/m stands/),
    ]);
    expect(parse(output)).toMatchObject({
      providers: [{ name: "endpoint" }, { name: "flow", kind: "flow" }],
      models: [
        { name: "A", targets: [{ provider: "endpoint", model: "m" }] },
        { name: "a", targets: [{ provider: "flow", timeout: "30s", params: { stream: true, temperature: 0.1 } }] },
        { name: "b", targets: [{ provider: "endpoint" }] },
      ],
    });
  });

  test("from what check itself has printed, lists in lists and several lines too", async () => {
    const params = { stop: ["\n\n", "a: b # c"], x: [[], {}, [[1, "#"], { y: [] }]], text: "two\nlines\n", on: null };
    const folder = folderWith({
      "everhop.yaml": `${provider}defaults: { params: ${JSON.stringify(params)} }\ntasks: { code: m }\n`,
    });
    const first = everhopIn(folder, ["check"], { A_KEY: canary });
    expect(await first.exited).toBe(0);
    const printed = parse(first.output());
    expect(printed.defaults.params).toEqual(params);
    writeFileSync(join(folder, "again.yaml"), first.output());
    const second = everhopIn(folder, ["check", "again.yaml"]);
    expect(await second.exited).toBe(0);
    expect(parse(second.output())).toEqual(printed);
  });
});
