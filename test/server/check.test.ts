import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { checkConfig } from "../../src/server/config.ts";
import { configMembers, configSchema } from "../../src/server/config-schema.ts";
import { everhopIn, folderWith, root } from "../support/program.ts";

async function check(
  files: Readonly<Record<string, string>>,
  args: readonly string[] = [],
  env: Record<string, string> = {},
) {
  const program = everhopIn(folderWith(files), ["check", ...args], env);
  return { code: await program.exited, output: program.output() };
}

const file = `server: { port: 8001 }
providers:
  - name: a
    base_url: http://127.0.0.1:1/v1
    keys:
      - "\${A_KEY}"
      - { name: spare, value: "\${SPARE_KEY:-sk-test-canary-spare}" }
    timeout: 60
auth:
  callers:
    - { name: team, key: "\${TEAM_KEY}" }
`;

describe("everhop check", () => {
  test("prints the effective configuration as YAML, each value with its origin, and no secret", async () => {
    const { code, output } = await check(
      { "everhop.yaml": file, ".env": "A_KEY=sk-test-canary-env\nTEAM_KEY=sk-test-canary-lost\n" },
      [],
      { TEAM_KEY: "sk-test-canary-team" },
    );
    expect(code).toBe(0);
    expect(output).not.toContain("canary");
    expect(output).toMatch(/^# everhop\.yaml can be used: 1 provider, every model of theirs, 1 caller\./);
    expect(output).toMatch(/port: 8001 +# everhop\.yaml:1$/m);
    expect(output).toMatch(/- "\[secret\]" +# everhop\.yaml:6, A_KEY \(\.env:1\)$/m);
    expect(output).toMatch(/key: "\[secret\]" +# everhop\.yaml:11, TEAM_KEY$/m);
    expect(output).toMatch(/timeout: 1m +# everhop\.yaml:8$/m);
    expect(output).toMatch(/max_attempts: 4 +# default$/m);
    expect(parse(output)).toMatchObject({
      server: { port: 8001 },
      providers: [{ name: "a", keys: ["[secret]", { name: "spare", value: "[secret]" }] }],
    });
  });

  test("tells everything that is wrong at once, unset variables too, by line and column", async () => {
    const wrong = file
      .replace("port: 8001", "port: many, prot: 1")
      .replace("timeout: 60", "timeout: -1\n    modles: [x]");
    const { code, output } = await check({ "everhop.yaml": wrong });
    expect(code).toBe(2);
    const problems = output
      .split("\n")
      .filter((line) => /^ {2}\d+:\d+/.test(line))
      .map((line) => line.trim().split(/ +/, 2).join(" "));
    expect(problems.toSorted()).toEqual(
      [
        "12:26 auth.callers[0].key",
        "1:17 server.port",
        "1:23 server.prot",
        "6:9 providers[0].keys[0]",
        "8:14 providers[0].timeout",
        "9:5 providers[0].modles",
      ].toSorted(),
    );
  });

  test("points at what an alias or a merge brings where that is written", async () => {
    const { output } = await check({
      "everhop.yaml":
        "x: &base { timeout: -5 }\nproviders:\n  - { name: a, base_url: http://127.0.0.1:1/v1, <<: *base }\n",
    });
    expect(output).toMatch(/1:21 +providers\[0\]\.timeout/);
  });

  test("says both to programs", async () => {
    const good = JSON.parse(
      (await check({ "everhop.yaml": file }, ["--json"], { A_KEY: "sk-test-canary-a", TEAM_KEY: "sk-test-canary-t" }))
        .output,
    );
    expect(good).toMatchObject({ ok: true, source: "everhop.yaml", config: { server: { port: 8001 } } });
    expect(good.origins["server.port"]).toBe("everhop.yaml:1");
    const { code, output } = await check({ "everhop.yaml": file }, ["--json"]);
    expect(code).toBe(2);
    expect(JSON.parse(output).problems[0]).toMatchObject({ path: "providers[0].keys[0]", at: "6:9" });
  });

  test("takes a file by name, and says when there is none", async () => {
    expect(
      (await check({ "other.yaml": file.replace(/\$\{\w+\}/g, "sk-test-canary-x") }, ["other.yaml"])).output,
    ).toMatch(/^# other\.yaml can be used/);
    expect(await check({}, ["nowhere.yaml"])).toMatchObject({
      code: 2,
      output: expect.stringContaining("there is no such file"),
    });
    expect(await check({})).toMatchObject({ code: 2, output: expect.stringContaining("nothing is configured") });
  });
});

describe("the JSON Schema of the file", () => {
  const validate = new Ajv({ strict: false, allErrors: true }).compile(configSchema());

  test("is the committed one, and the docs' table is its", async () => {
    const { output } = await check({}, ["--schema"]);
    expect(output).toBe(readFileSync(join(root, "everhop.schema.json"), "utf8"));
    const page = readFileSync(join(root, "docs/configuration.md"), "utf8");
    for (const { path, help } of configMembers()) {
      expect(page).toContain(`| \`${path}\` |`);
      expect(page).toContain(help.replaceAll("|", "\\|"));
    }
  });

  test("says of every member what it is for", () => {
    expect(
      configMembers()
        .filter(({ help }) => help === "")
        .map(({ path }) => path),
    ).toEqual([]);
  });

  test("takes what the gateway takes, variables too, and refuses what it refuses", () => {
    const folder = join(root, "examples/configurations");
    for (const name of readdirSync(folder)) {
      expect(
        validate(parse(readFileSync(join(folder, name), "utf8"))),
        `${name}: ${JSON.stringify(validate.errors)}`,
      ).toBe(true);
    }
    expect(validate(parse(file)), JSON.stringify(validate.errors)).toBe(true);
    expect(
      validate({
        server: { port: `\${PORT:-8000}` },
        routing: { failover: "on", patience: "250ms" },
        log: { level: `\${LEVEL}` },
      }),
    ).toBe(true);
    for (const wrong of [
      { server: { prot: 1 } },
      { server: { port: 70_000 } },
      { log: { level: "loud" } },
      { providers: [{ name: "a" }] },
    ]) {
      expect(validate(wrong), JSON.stringify(wrong)).toBe(false);
    }
  });
});

test("what check prints is a configuration that comes to the same: no unit is lost on the way", async () => {
  // Every member whose value is shown in other words than it is held in, with a value that is no default.
  const said = `server:
  limits: { body: 5MiB, buffered: 1GiB, stalled: 11s, heartbeat: 1500ms, stream_total: 3m, stream_size: 7KiB }
auth:
  callers: [{ name: team, key: "sk-test-canary-team", queue: { max_wait: 90s } }]
providers:
  - name: a
    base_url: http://127.0.0.1:1/v1/
    keys: ["sk-test-canary-a"]
    timeout: 61
    timeouts: { connect: 250ms, first_token: 2m, idle: 1h, total: 1.5 }
    models: [{ id: m, prices: { input_per_1k: 0.1, output_per_1k: 0.25 }, context_window: 5000 }]
    health_check: { interval: 7s, timeout: 900ms }
models:
  - { name: think, targets: [{ provider: a, model: m, timeout: 3s, params: { max: 7, temperature: 0.5 } }] }
routing:
  patience: 10ms
  last_patience: 4s
  backoff: { base: 3ms, max: 5s }
  breaker: { window: 8s, open: 2s, quick_cap: 3s, slow_cap: 4m, sole_cap: 6s }
  queue: { max_wait: 77ms }
drain: { pre_stop: 0, grace: 2h }
`;
  const { output } = await check({ "everhop.yaml": said });
  const back = output.replace("[secret]", "sk-test-canary-team").replace("[secret]", "sk-test-canary-a");
  expect(checkConfig(parse(back), "what was printed")).toEqual(checkConfig(parse(said), "what was said"));
});
