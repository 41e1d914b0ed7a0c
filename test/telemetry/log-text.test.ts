import { describe, expect, test } from "vitest";
import { startProviders } from "../support/gateway.ts";
import { configFile } from "../support/program.ts";
import { canWatch, watchProgram } from "../support/terminal.ts";
import { jsonLines, pool, serveLogged } from "./log-program.ts";

const clock = /^\d\d:\d\d:\d\d\.\d{3} {2}/;

describe("the log for people", () => {
  test("has a line for each request and for each hop that failed, with what to do about it", async () => {
    const { first, second } = await startProviders({
      first: { schedule: [{ kind: "status", status: 429 }, { kind: "none" }] },
      second: {},
    });
    const program = await serveLogged({ ...pool({ first, second }), log: { format: "text" } });
    const { headers } = await program.chat({ model: "think" });
    await program.chat({ model: "second:m", stream: true });
    await program.chat({ model: "nobody's" });
    await program.said(/unknown_model/);
    const lines = program
      .output()
      .split("\n")
      .filter((line) => clock.test(line));
    const trace = headers.get("x-everhop-trace-id")?.slice(0, 8);
    expect(lines.map((line) => line.replace(clock, ""))).toEqual([
      expect.stringMatching(
        `^${trace}  think  hop 1  first/m#k1 {12}429 rate_limited {6}\\d+ ms  add keys or providers, or raise the rate limit$`,
      ),
      expect.stringMatching(
        `^${trace}  think  rest /v1/chat/completions {4}200 ok {16}\\d+ ms, 2 hops, by second/m#k1$`,
      ),
      expect.stringMatching(/200 ok {16}\d+ ms, first content after \d+ ms, by second\/m#k1$/),
      expect.stringMatching(/^[\da-f]{8} {2}- {2}rest \/v1\/chat\/completions {4}404 unknown_model {5}\d+ ms$/),
    ]);
    expect(jsonLines(program.output())).toEqual([]);
    expect(program.output()).not.toContain("\x1b");
  });

  test("tells whom a request was led past that was not served", async () => {
    const { first, second } = await startProviders({
      first: { schedule: [{ kind: "status", status: 401 }] },
      second: { schedule: [{ kind: "status", status: 500 }] },
    });
    const program = await serveLogged({
      ...pool({ first, second }),
      log: { format: "text", level: "warn" },
      routing: { last_patience: 0, backoff: { base: "1ms", max: "1ms" } },
    });
    await program.chat({ model: "think" });
    await program.chat({ model: "think" });
    await program.said(/skip 1 {2}first\/m +no_key/);
    await program.said(
      /rest \/v1\/chat\/completions {4}502 all_failed +\d+ ms(, \d hops)?, not served\n[\s\S]*not served\n/,
    );
  });

  test.skipIf(!canWatch)("is what is shown at a terminal, in colours", async () => {
    const { only } = await startProviders({ only: {} });
    const config = configFile(JSON.stringify({ server: { port: 0 }, drain: { pre_stop: 0 }, ...pool({ only }) }));
    const program = watchProgram({ columns: 160, rows: 40 }, ["serve", "--config", config]);
    const [, address = ""] = await program.said(/listens on (http:\S+)/);
    await fetch(`${address}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "think", messages: [{ role: "user", content: "Hello" }] }),
    });
    await program.said(/think {2}rest \/v1\/chat\/completions {4}200 ok +\d+ ms, by only\/m#k1/);
    expect(program.bytes()).toContain("\x1b[32m200 ok");
    program.press("\x03");
    expect(await program.exited).toBe(0);
    await program.said(/SIGINT: leaving[\s\S]*Stopped\./);
  });
});

describe("where nobody looks", () => {
  test("what is said at the start and at the end stays in words, and is JSON only where that is asked for", async () => {
    const { only } = await startProviders({ only: {} });
    const plain = await serveLogged(pool({ only }));
    await plain.chat({ model: "think" });
    expect(await plain.stop()).toBe(0);
    const lines = plain.output().trimEnd().split("\n");
    expect(lines.filter((line) => !line.startsWith("{"))).toEqual([
      expect.stringMatching(/^Everhop \S+ listens on http:\S+ for gRPC, gRPC-Web, Connect and OpenAI's REST API\.$/),
      expect.stringMatching(/^Note: an admin key was made and is kept in data\/admin-key; it is shown this once: ek-/),
      "No callers are configured: whoever reaches the port is served, with any key or none.",
      "everhop.yaml: only.",
      "SIGTERM: leaving; calls in flight may end.",
      "Stopped.",
    ]);
    expect(plain.lines().map(({ ns }) => ns)).toEqual(["everhop:request"]);

    const json = await serveLogged({ ...pool({ only }), log: { format: "json" } });
    await json.chat({ model: "think" });
    json.child.kill("SIGHUP");
    await json.logged({ ns: "everhop:config", level: "info" });
    expect(await json.stop()).toBe(0);
    const said = json.output().trimEnd().split("\n");
    expect(said).toHaveLength(json.lines().length);
    expect(json.lines().map(({ level, ns, msg }) => `${level} ${ns} ${msg}`)).toEqual([
      expect.stringMatching(/^info everhop:server Everhop \S+ listens on http:\S+ for /),
      // Nobody who reads logs is to be an operator by that.
      expect.stringMatching(/^warn everhop:config an admin key was made .* it is shown this once: \[secret\]$/),
      "info everhop:server No callers are configured: whoever reaches the port is served, with any key or none.",
      "info everhop:server everhop.yaml: only.",
      "info everhop:request request served",
      "info everhop:config SIGHUP: everhop.yaml was read again; it says the same.",
      "info everhop:server SIGTERM: leaving; calls in flight may end.",
      "info everhop:server Stopped.",
    ]);
    expect(json.lines()[0]).toMatchObject({ address: json.address, version: expect.stringMatching(/^\d+\.\d+\.\d+/) });
  });
});
