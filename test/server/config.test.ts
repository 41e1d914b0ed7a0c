import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { routingDefaults } from "../../src/routing/settings.ts";
import { ConfigError, checkConfig } from "../../src/server/config.ts";
import { loadConfig } from "../../src/server/load-config.ts";

const local = { name: "a", base_url: "http://127.0.0.1:1/v1" };

function problemsOf(input: unknown): string[] {
  try {
    checkConfig(input, "test");
    return [];
  } catch (error) {
    if (error instanceof ConfigError)
      return error.problems.map(({ path, value, expected }) => `${path} = ${value}: ${expected}`);
    throw error;
  }
}

/** Aliases of aliases: a few lines that would become millions. */
function bomb(): string {
  const lines = Array.from(
    { length: 9 },
    (_, depth) => `b${depth}: &b${depth} [${Array(9).fill(depth ? `*b${depth - 1}` : "x")}]`,
  );
  return lines.join("\n");
}

function load(text: string | undefined, env: Record<string, string> = {}, overrides = {}) {
  const folder = mkdtempSync(join(tmpdir(), "everhop-test-"));
  const path = join(folder, "everhop.yaml");
  if (text !== undefined) writeFileSync(path, text);
  return loadConfig({ path: text === undefined ? undefined : path, env: { EVERHOP_CONFIG: "", ...env }, overrides });
}

describe("a configuration", () => {
  test("has safe defaults", () => {
    const config = checkConfig({ providers: [local] }, "test");
    expect(config).toMatchObject({
      server: { host: "127.0.0.1", port: 8000 },
      auth: { open: false, callers: [] },
      routing: { max_attempts: 4 },
      drain: { pre_stop: 5000, grace: 30_000 },
    });
    expect(config.providers[0]).toMatchObject({
      kind: "openai",
      base_url: { origin: "http://127.0.0.1:1", basePath: "/v1" },
      enabled: true,
      priority: 1,
    });
  });

  test("takes durations as texts of seconds, as the environment has them", () => {
    const config = checkConfig({ providers: [{ ...local, timeout: "60" }], routing: { patience: "1.5" } }, "test");
    expect(config.providers[0]?.timeout).toBe(60_000);
    expect(config.routing.patience).toBe(1500);
  });

  test("shows numbers as they are, though a secret might stand there; refuses a target twice and a check of nothing", () => {
    expect(
      problemsOf({
        providers: [{ ...local, timeouts: { first_token: -1 } }],
        routing: { key_rotations: { rate: 65 } },
      }).join(),
    ).toMatch(/= -1: .*= 65: /);
    const target = { provider: "a", model: "m" };
    expect(problemsOf({ providers: [local], models: [{ name: "think", targets: [target, target] }] })).toEqual([
      'models[0].targets[1] = "a/m": expected each target once',
    ]);
    expect(problemsOf({ providers: [{ ...local, health_check: {} }] })[0]).toMatch(
      /^providers\[0\]\.health_check .*nothing would be checked/,
    );
  });

  test("is told everything that is wrong with it at once, with path, value and what was expected", () => {
    const problems = problemsOf({
      server: { port: 70_000, prot: 1 },
      auth: { callers: [{ name: "x", key: "" }] },
      providers: [
        { name: "123", base_url: "htp:/x", timeout: "soon", keys: ["sk-test-canary-1", { name: "spare" }] },
        { base_url: "https://user:secret@h/v1?x=1" },
      ],
      models: [{ name: "m", targets: [] }],
      modles: [],
    });
    expect(problems).toEqual([
      "server.port = 70000: expected a whole number from 0 to 65535",
      "server.prot = : unknown key",
      "auth.callers[0].key = [secret]: expected a key",
      'providers[0].name = "123": expected 1 to 64 of A-Z a-z 0-9 . _ -, not digits alone',
      'providers[0].base_url = "htp:/x": expected an http or https URL without user, query or fragment',
      "providers[0].keys[1].value = nothing: expected a text",
      'providers[0].timeout = "soon": expected seconds, or a text such as 250ms, 30s or 10m, of at most 24h',
      "providers[1].name = nothing: expected a text",
      "providers[1].base_url = [secret]: expected an http or https URL without user, query or fragment",
      "models[0].targets = a list: expected at least one target",
      "modles = : unknown key",
    ]);
    expect(problems.join()).not.toContain("canary");
  });

  test("routes as the engine does by default, and as it says where it says something", () => {
    const { inFlight: _, ...defaults } = routingDefaults;
    const { routing } = checkConfig({ providers: [local] }, "test");
    expect(routing).toMatchObject({
      failover: defaults.failover,
      max_attempts: defaults.maxAttempts,
      patience: defaults.patienceMs,
      last_patience: defaults.lastPatienceMs,
      backoff: { base: defaults.backoff.baseMs, max: defaults.backoff.maxMs },
      key_rotations: defaults.keyRotations,
      retry_budget: defaults.retryBudget,
      queue: { max_wait: defaults.queue.maxWaitMs, bound: defaults.queue.bound },
      affinity: defaults.affinity,
      breaker: {
        consecutive: defaults.breaker.consecutive,
        error_rate: defaults.breaker.errorRate,
        open: defaults.breaker.openMs,
        sole_cap: defaults.breaker.soleCapMs,
      },
    });
    const said = { failover: "off", queue: { max_wait: 0 }, breaker: { open: "1m", error_rate: "0.25" } };
    expect(checkConfig({ providers: [local], routing: said }, "test").routing).toMatchObject({
      failover: false,
      queue: { max_wait: 0, bound: defaults.queue.bound },
      breaker: { open: 60_000, error_rate: 0.25, consecutive: defaults.breaker.consecutive },
    });
  });

  test("is told of limits, weights and checks that make no sense", () => {
    const problems = problemsOf({
      auth: { callers: [{ name: "x", key: "sk-test-canary-1", rpm: 0, max_concurrent: -1 }] },
      providers: [
        {
          ...local,
          weight: 1001,
          max_rps: 0,
          models: [{ id: "m", context_window: 0 }],
          health_check: { kind: "chat", interval: 0 },
        },
      ],
      models: [{ name: "t", strategy: "fastest", targets: [{ provider: "a", model: "m", weight: -1 }] }],
      routing: { max_attempts: 11, affinity: "model", breaker: { error_rate: 0, consecutiv: 3 } },
    });
    const paths = problems.map((problem) => problem.split(" = ")[0]);
    expect(paths).toEqual(
      expect.arrayContaining([
        "auth.callers[0].rpm",
        "auth.callers[0].max_concurrent",
        "providers[0].weight",
        "providers[0].max_rps",
        "providers[0].models[0].context_window",
        "providers[0].health_check.interval",
        "models[0].strategy",
        "models[0].targets[0].weight",
        "routing.max_attempts",
        "routing.affinity",
        "routing.breaker.error_rate",
        "routing.breaker.consecutiv",
      ]),
    );
  });

  test("takes numbers and switches as texts, too, for the environment has nothing else", () => {
    const config = checkConfig(
      { server: { port: "81" }, providers: [{ ...local, enabled: "false", priority: "3" }] },
      "test",
    );
    expect(config.server.port).toBe(81);
    expect(config.providers[0]).toMatchObject({ enabled: false, priority: 3 });
  });

  test("may not have a default model that nobody could ask for", () => {
    const models = [{ name: "t", targets: [{ provider: "a", model: "m" }] }];
    const providers = [{ ...local, models: ["m"] }];
    expect(problemsOf({ providers, models, defaults: { model: "m" } })).toHaveLength(1);
    expect(problemsOf({ providers, models, defaults: { model: "a:m" } })).toEqual([]);
    expect(problemsOf({ providers, defaults: { model: "m" } })).toEqual([]);
  });

  test("never shows what may be a secret, however it is misspelt", () => {
    const told = problemsOf({
      admin_key: "canary",
      auth: { callers: [{ name: "x", keey: "canary" }] },
      providers: [
        { name: "a", base_url: "http://x/v1?key=canary", api_key: "canary", keys: [{ name: "k", valu: "canary" }] },
      ],
    });
    expect(told.length).toBeGreaterThan(4);
    expect(told.join()).not.toContain("canary");
  });

  test("is told of names that are not unique and of names that nobody bears", () => {
    expect(
      problemsOf({
        auth: {
          callers: [
            { name: "x", key: "sk-test-canary-1" },
            { name: "y", key: "sk-test-canary-1" },
          ],
        },
        providers: [
          { ...local, models: ["m"] },
          { ...local, models: ["m"] },
        ],
        models: [
          {
            name: "think",
            targets: [
              { provider: "b", model: "m" },
              { provider: "a", model: "x" },
            ],
          },
        ],
        defaults: { model: "nope" },
      }),
    ).toEqual([
      'providers[1].name = "a": expected a name of its own',
      'models[0].targets[0].provider = "b": expected the name of a configured provider',
      'models[0].targets[1].model = "x": expected one of the models that a declares',
      "auth.callers[1].key = [secret]: expected a key of its own",
      'defaults.model = "nope": expected a model that is configured',
    ]);
  });

  test.each([
    [60, 60_000],
    [0.25, 250],
    ["250ms", 250],
    ["30s", 30_000],
    ["10m", 600_000],
    ["1h", 3_600_000],
  ])("reads the duration %s as %i ms", (timeout, ms) => {
    expect(checkConfig({ providers: [{ ...local, timeout }] }, "test").providers[0]?.timeout).toBe(ms);
  });
});

describe("loading", () => {
  test("fills in the environment, and names every variable that is not set", () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the file's own placeholders
    const text = "providers: [{ name: a, base_url: 'http://${HOST_A:-127.0.0.1}/v1', keys: ['${KEY_A}'] }]\n";
    const { config } = load(text, { KEY_A: "sk-test-canary-1" });
    expect(config?.providers[0]).toMatchObject({
      keys: ["sk-test-canary-1"],
      base_url: { origin: "http://127.0.0.1" },
    });
    expect(() => load(text)).toThrow(/providers\[0\]\.keys\[0\].*KEY_A is not set/);
  });

  test("says where a file that is no YAML is wrong, and that a file is not there", () => {
    expect(() => load("providers: [\n")).toThrow(/cannot be used:[\s\S]*line/);
    expect(() => load("- a\n")).toThrow(/expected a mapping/);
    expect(() => loadConfig({ path: "/no/such.yaml", env: {}, overrides: {} })).toThrow(/there is no such file/);
  });

  test("never repeats what stands in a file that is no YAML, and survives aliases of every kind", () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the file's own placeholders
    const broken = () => load("server: { port: ${X}, }\nproviders: [{ name: a, keys: [canary }\n");
    expect(broken).toThrow(/no valid YAML: line \d+, column \d+/);
    expect(broken).not.toThrow(/canary/);
    for (const text of ["a: &a { b: *a }\n", "providers: *zz\n", `a: &a [x]\n${bomb()}`]) {
      expect(() => load(text)).toThrow(ConfigError);
    }
  });

  test("takes providers from the environment, each n one of its own, in their order", () => {
    const { config } = load(undefined, {
      OPENAI_API_KEY_2: "sk-test-canary-2",
      OPENAI_BASE_URL_2: "http://127.0.0.1:2/v1",
      OPENAI_API_KEY_10: "sk-test-canary-10",
      OPENAI_API_KEY: "sk-test-canary-0",
      OPENAI_BASE_URL_3: "http://127.0.0.1:3",
      OPENAI_MODEL: "gpt-x",
    });
    expect(config?.providers.map(({ name, base_url, keys }) => [name, base_url.origin, keys.length])).toEqual([
      ["openai", "https://api.openai.com", 1],
      ["openai-2", "http://127.0.0.1:2", 1],
      ["openai-3", "http://127.0.0.1:3", 0],
      ["openai-10", "https://api.openai.com", 1],
    ]);
    expect(config?.defaults.model).toBe("gpt-x");
    expect(config?.models[0]?.targets.map(({ provider }) => provider)).toEqual([
      "openai",
      "openai-2",
      "openai-3",
      "openai-10",
    ]);
  });

  test("lets the file's providers stand and says that the environment's are not used", () => {
    const { config, notices } = load("providers: [{ name: a, base_url: 'http://127.0.0.1:1/v1' }]", {
      OPENAI_API_KEY: "sk-test-canary-1",
    });
    expect(config?.providers.map(({ name }) => name)).toEqual(["a"]);
    expect(notices).toHaveLength(1);
  });

  test("lets flags beat the file, and finds nothing where nothing is", () => {
    const { config } = load(
      "server: { port: 1 }\nproviders: [{ name: a, base_url: 'http://127.0.0.1:1/v1' }]",
      {},
      { port: 9 },
    );
    expect(config?.server.port).toBe(9);
    expect(load(undefined).config).toBeUndefined();
  });

  test("takes the README's own example", () => {
    const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
    const [, example = ""] = /```yaml\n([\s\S]*?)```/.exec(readme) ?? [];
    const { config } = load(example, {
      TEAM_A_KEY: "sk-test-canary-a",
      BATCH_KEY: "sk-test-canary-c",
      OPENAI_KEY: "sk-test-canary-b",
    });
    expect(config?.models.map(({ name }) => name)).toEqual(["think"]);
    expect(config?.providers.map(({ name }) => name)).toEqual(["openai-primary", "local"]);
  });

  test("refuses a file without any provider", () => {
    expect(() => load("server: { port: 1 }")).toThrow(/at least one provider/);
  });
});
