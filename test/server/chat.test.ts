import { execFile, execFileSync } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import { describe, expect, onTestFinished, test } from "vitest";
import type { SimulatedProvider } from "../../src/providers/simulated/simulated-provider.ts";
import { hasOpenssl, makeAuthority } from "../support/certificates.ts";
import { poolConfig, startGateway, startProviders } from "../support/gateway.ts";
import { configFile, root, serve, start } from "../support/program.ts";

const question = "one two three four five six";
const answer = `You said: ${question}`;

/** Starts a gateway over two providers. @param changes of the configuration, as the file has it */
async function startPair(changes: object = {}) {
  const providers = await startProviders({ first: {}, second: {} });
  const config = { ...poolConfig(providers), defaults: { model: "think" }, routing: { patience: 0, last_patience: 0 } };
  const { address } = await startGateway({ ...config, ...changes }, providers);
  return { address, ...providers };
}

async function startStalling() {
  const { first } = await startProviders({ first: { schedule: [{ kind: "stall_after", events: 4 }] } });
  return first;
}

const stallingConfig = (url: string) =>
  `{ providers: [{ name: first, base_url: '${url}', models: [m] }], defaults: { model: m }, drain: { pre_stop: 0 } }`;

/** The program while it runs, what it says on either of its outputs apart. */
function talk(args: readonly string[], env: Record<string, string> = {}) {
  const program = start(process.execPath, ["bin/everhop.js", "chat", ...args], env);
  const told = { out: "", error: "" };
  program.child.stdout?.on("data", (piece) => {
    told.out += piece;
  });
  program.child.stderr?.on("data", (piece) => {
    told.error += piece;
  });
  return {
    ...program,
    told,
    write: (text: string) => program.child.stdin?.write(text),
    /** Says no more, and lets it end. */
    async end(text = "") {
      program.child.stdin?.end(text);
      const code = await new Promise((resolve) => program.child.on("close", resolve));
      return { code, ...told };
    },
  };
}

/** Runs it from its beginning to its end. */
function chat(args: readonly string[], { stdin = "", ...env }: Record<string, string> = {}) {
  return talk(args, env).end(stdin);
}

/** The messages of each request that a provider has seen, `role: text`. */
function heard({ seen }: SimulatedProvider): string[][] {
  return seen.map(({ json }) =>
    (json as { messages: { role: string; content: string }[] }).messages.map(
      ({ role, content }) => `${role}: ${content}`,
    ),
  );
}

describe("everhop chat", () => {
  test("ends with a link to the trace where the gateway knows of a Jaeger, for an answer and for an error", async () => {
    const { address, first, second } = await startPair({ telemetry: { jaeger_ui: "https://jaeger.test/ui/" } });
    const link = /^trace https:\/\/jaeger\.test\/ui\/trace\/[\da-f]{32}$/m;
    expect((await chat(["--url", address, "hello"])).error).toMatch(link);
    for (const provider of [first, second]) provider.behave({ schedule: [{ kind: "status", status: 500 }] });
    const failed = await chat(["--url", address, "hello"]);
    expect([failed.code, link.test(failed.error)]).toEqual([1, true]);
  });

  test("has no link for a caller that sees no trails", async () => {
    const key = "sk-test-canary-blind";
    const { address } = await startPair({
      telemetry: { jaeger_ui: "https://jaeger.test" },
      auth: { callers: [{ name: "blind", key, trail: false }] },
    });
    expect((await chat(["--url", address, "--key", key, "hello"])).error).not.toContain("jaeger");
  });

  test("writes the answer to its standard output and nothing else, its hops to standard error", async () => {
    const { address, first } = await startPair();
    first.behave({ schedule: [{ kind: "status", status: 429 }] });
    const { code, out, error } = await chat(["--url", address, ...question.split(" ")]);
    expect([code, out]).toEqual([0, `${answer}\n`]);
    expect(error.split("\n")).toEqual([
      expect.stringMatching(/^hop 1 {3}first\/first-model#k1 {4}429 rate_limited +\d+ ms, add keys or providers/),
      expect.stringMatching(/^hop 2 {3}second\/second-model#k1 {2}200 ok +\d+ ms, first content after \d+ ms$/),
      expect.stringMatching(/^by second, second-model · \d+ tokens in, \d+ out$/),
      "",
    ]);
  });

  test("shows the answer as it comes", async () => {
    const { address, first } = await startPair();
    first.behave({ schedule: [{ kind: "stall_after", events: 4 }] });
    const program = talk(["--url", address, question]);
    await program.said(/You said: /);
    expect([first.open, program.told.out.includes("six")]).toEqual([1, false]);
    program.child.kill("SIGINT");
    await program.exited;
  });

  test("gives the answer to whoever does not want to hear of the hops", async () => {
    const { address } = await startPair();
    const program = talk(["--url", address, question]);
    program.child.stderr?.destroy();
    expect(await program.end()).toMatchObject({ code: 0, out: `${answer}\n` });
  });

  test("tells which endpoints were passed over, why, and until when", async () => {
    const { address, first } = await startPair();
    first.behave({ schedule: [{ kind: "status", status: 429, headers: { "retry-after": "60" } }] });
    await chat(["--url", address, "Hello"]);
    const { error } = await chat(["--url", address, "Hello"]);
    expect(error).toMatch(/^skip {4}first\/first-model +rate_limited +for \d+\.\d s/m);
    expect(error).toMatch(/^hop 1 {3}second/m);
  });

  test("says what is piped in, in lines as it came", async () => {
    const { address, first } = await startPair();
    const { code } = await chat([], { stdin: "two\nlines\n", EVERHOP_URL: address });
    expect([code, heard(first)]).toEqual([0, [["user: two\nlines"]]]);
  });

  test("asks as it is told: which model, which provider, what for, and what it is told before", async () => {
    const { address, first, second } = await startPair({ tasks: { code: "second:second-model" } });
    await chat(["--url", address, "--model", "first:first-model", "--system", "Be brief.", "Hello"]);
    await chat(["--url", address, "--provider", "second", "Hello"]);
    await chat(["--url", address, "--task", "code", "Hello"]);
    expect(heard(first)).toEqual([["system: Be brief.", "user: Hello"]]);
    expect(heard(second)).toEqual([["user: Hello"], ["user: Hello"]]);
  });

  test("shows a key, from the environment or a flag, and says what to do without one", async () => {
    const callers = [{ name: "team", key: "sk-test-canary-caller" }];
    const { address } = await startPair({ auth: { callers } });
    const keys = [["--key", "sk-test-canary-caller"], []] as const;
    const [byFlag, byEnvironment] = await Promise.all([
      chat(["--url", address, ...keys[0], "Hello"]),
      chat(["--url", address, "Hello"], { EVERHOP_API_KEY: "sk-test-canary-caller" }),
    ]);
    expect([byFlag.code, byEnvironment.code]).toEqual([0, 0]);
    const { code, out, error } = await chat(["--url", address, "--key", "sk-test-canary-wrong", "Hello"]);
    expect([code, out]).toEqual([1, ""]);
    expect(error).toMatch(
      /^A valid key is needed.+\nUNAUTHENTICATED, UNAUTHORIZED · request req_\w+\n.+EVERHOP_API_KEY/,
    );
    expect(error).not.toContain("canary");
  });

  test("says what failed, with every hop and what to do about it, and exits with 1", async () => {
    const { address, first, second } = await startPair();
    first.behave({ schedule: [{ kind: "status", status: 401 }] });
    second.behave({ schedule: [{ kind: "html" }] });
    const { code, out, error } = await chat(["--url", address, "Hello"]);
    expect([code, out]).toEqual([1, ""]);
    expect(error).toMatch(/^Every attempt failed.+\nUNAVAILABLE, ALL_PROVIDERS_FAILED · request req_\w+\n/);
    expect(error).toMatch(/^hop 1 {3}first.+401 key_refused +\d+ ms, check that the key is valid/m);
    expect(error).toMatch(/^hop 2 {3}second.+200 transient_fault +\d+ ms.+is the base URL right/m);
  });

  test("says when to come back, as far as that is known", async () => {
    const { address, first, second } = await startPair();
    for (const provider of [first, second]) {
      provider.behave({ schedule: [{ kind: "status", status: 429, headers: { "retry-after": "60" } }] });
    }
    const { error } = await chat(["--url", address, "Hello"]);
    expect(error).toMatch(/RESOURCE_EXHAUSTED, RATE_LIMIT_EXCEEDED · .+ · come back in [56]\d\.\d s/);
  });

  test("keeps what had come of an answer that broke off, and exits with 1", async () => {
    const { address, first } = await startPair();
    first.behave({ schedule: [{ kind: "cut_after", events: 4 }] });
    const { code, out, error } = await chat(["--url", address, question]);
    expect(code).toBe(1);
    expect(answer.startsWith(out.trimEnd())).toBe(true);
    expect(out).toMatch(/^You said: .*\n$/);
    expect(error).toMatch(/^The answer broke off.+\nUNAVAILABLE, STREAM_INTERRUPTED/);
    expect(error).toMatch(/^hop 1 .+may be charged/m);
  });

  test("lets a broken stream go on elsewhere when it is told to: the text is there once, and the hop is told", async () => {
    const { address, first } = await startPair();
    first.behave({ schedule: [{ kind: "cut_after", events: 4 }] });
    const { code, out, error } = await chat(["--url", address, "--recovery", "continue", question]);
    expect([code, out]).toEqual([0, `${answer}\n`]);
    expect(error).toMatch(/^hop 1 +first.+transient_fault/m);
    expect(error).toMatch(/^hop 2 +second.+200 ok .+resumed$/m);
    expect(error).toContain("by first and second");
  });

  test("writes only the answer that counts where one begins anew, and says that it did", async () => {
    const { address, first, second } = await startPair();
    first.behave({ schedule: [{ kind: "cut_after", events: 4 }] });
    second.behave({ text: "Quite another answer." });
    const { code, out, error } = await chat(["--url", address, "--recovery", "restart", question]);
    expect([code, out]).toEqual([0, "Quite another answer.\n"]);
    expect(error).toContain("second answers anew");
    expect(error).toMatch(/^hop 2 +second.+restarted$/m);
  });

  test.skipIf(!hasOpenssl)("speaks TLS, to whom it can trust", async () => {
    const authority = makeAuthority("trusted");
    const { cert, key } = authority.sign("localhost");
    const providers = await startProviders({ first: {} });
    const { port } = await startGateway(poolConfig(providers), providers, { tls: { cert, key } });
    const url = `https://localhost:${port}`;
    const trusting = await chat(["--url", url, "--model", "think", "Hello"], {
      NODE_EXTRA_CA_CERTS: authority.certFile,
    });
    expect([trusting.code, trusting.out]).toEqual([0, "You said: Hello\n"]);
    const { code, error } = await chat(["--url", url, "--model", "think", "Hello"], { NODE_EXTRA_CA_CERTS: "" });
    expect(code).toBe(1);
    expect(error).toMatch(/^The connection to https:\/\/localhost:\d+ failed: .+certificate/);
  });

  test("says that the gateway went away in the middle of an answer", async () => {
    const served = serve(["--port", "0", "--config", configFile(stallingConfig((await startStalling()).baseUrl))]);
    const [, address = ""] = await served.said(/listens on (http:\S+)/);
    const program = talk(["--url", address, question]);
    await program.said(/You said: /);
    served.child.kill("SIGKILL");
    const { code, error } = await program.end();
    expect([code, error]).toEqual([1, expect.stringMatching(/^The connection to http:\S+ broke off before/)]);
  });

  test("says that no gateway runs there, and how to start one", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.on("listening", resolve));
    const { port } = server.address() as AddressInfo; // a TCP server's address is one
    await new Promise((resolve) => server.close(resolve));
    const { code, out, error } = await chat(["--url", `http://127.0.0.1:${port}`, "Hello"]);
    expect([code, out]).toEqual([1, ""]);
    expect(error).toBe(
      `No gateway runs at http://127.0.0.1:${port} (ECONNREFUSED).\nStart one with \`npx everhop serve\`, or say where it is by --url or EVERHOP_URL.\n`,
    );
  });

  test("says that what runs there is something else", async () => {
    const server = createServer((_, response) => response.writeHead(404).end("<html>nothing here</html>"));
    server.listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await new Promise((resolve) => server.on("listening", resolve));
    const { port } = server.address() as AddressInfo; // a TCP server's address is one
    const { code, error } = await chat(["--url", `http://127.0.0.1:${port}`, "Hello"]);
    expect(code).toBe(1);
    expect(error).toMatch(/is no Everhop gateway/);
  });

  test.each([
    ["nothing to say", [], /PROMPT +expected something to say/],
    ["an address that is none", ["--url", "nowhere", "Hello"], /--url +expected the address of a gateway/],
    ["a key that is none", ["--key", "sk-test canary", "Hello"], /--key +expected a key/],
    ["a recovery that there is not", ["--recovery", "pray", "Hello"], /fail, restart, continue/],
    ["a document of a conversation", ["--json", "-i"], /--json/],
    ["a flag that there is not", ["--loud", "Hello"], /--loud/],
  ] as const)("refuses %s, with exit code 2", async (_, args, words) => {
    const { code, out, error } = await chat(args);
    expect([code, out]).toEqual([2, ""]);
    expect(error).toMatch(words);
  });

  test("names the variable whose address is none", async () => {
    const { code, error } = await chat(["Hello"], { EVERHOP_URL: "ftp://x" });
    expect([code, error.includes("EVERHOP_URL")]).toEqual([2, true]);
  });

  test("gives a terminal nothing that would drive it, of answers and of names", async () => {
    const { address, first } = await startPair();
    const bell = "a\u001b[31mred\u0007\r\n\tb\u009b2Jc\u007f e\u0301 👩‍👩‍👧";
    first.behave({ text: bell });
    const { out } = await chat(["--url", address, "Hello"]);
    expect(out).toBe("a[31mred\n\tb2Jc e\u0301 👩‍👩‍👧\n");
    const wrong = await chat(["--url", address, "--model", "x\u001b[31m\u0007", "Hello"]);
    expect(wrong.code).toBe(1);
    expect(wrong.error).toMatch(/^There is no model/);
    expect(wrong.error).toMatch(/^[^\p{Cc}]+$/mu);
    expect(wrong.error).not.toContain("\u001b");
  });

  test("colours only what a terminal shows", async () => {
    const { address } = await startPair();
    const { out, error } = await chat(["--url", address, "Hello"], { NO_COLOR: "" });
    expect(out + error).not.toContain("\u001b");
  });

  test("ends quietly when its answer cannot be written", async () => {
    const { address, first } = await startPair();
    first.behave({ text: "word ".repeat(50_000), mostTokens: 100_000 });
    const line = `"${process.execPath}" bin/everhop.js chat --url ${address} Hello 2>&1 >/dev/full; echo "ended with $?"`;
    const { stdout } = await promisify(execFile)("bash", ["-c", line], { cwd: root });
    expect(stdout).toBe("ended with 1\n");
  });
});

describe("everhop chat --json", () => {
  test("writes out what would drive a terminal", async () => {
    const { address, first } = await startPair();
    const words = "red \u009b31m and \u007f and \u001b]0;title\u0007 end";
    first.behave({ text: words });
    const { code, out } = await chat(["--url", address, "--json", "Hello"]);
    expect(code).toBe(0);
    expect(out).not.toMatch(/[^\P{Cc}\n]/u);
    expect(JSON.parse(out)).toMatchObject({
      completion: { candidates: [{ message: { parts: [{ text: words }] } }] },
    });
  });

  test("prints the whole answer with its trail, in the words of the contract", async () => {
    const { address, first } = await startPair();
    first.behave({ schedule: [{ kind: "status", status: 429 }] });
    const { code, out, error } = await chat(["--url", address, "--json", "Hello"]);
    expect([code, error]).toEqual([0, ""]);
    expect(JSON.parse(out)).toMatchObject({
      completion: {
        provider: "second",
        candidates: [
          {
            message: { role: "ROLE_ASSISTANT", parts: [{ text: "You said: Hello" }] },
            finish_reason: "FINISH_REASON_STOP",
          },
        ],
        usage: { input_tokens: expect.any(Number), output_tokens: expect.any(Number) },
      },
      trail: {
        attempts: [
          { endpoint: "first/first-model", http_status: 429, outcome: "ATTEMPT_OUTCOME_RATE_LIMITED" },
          { endpoint: "second/second-model", http_status: 200, outcome: "ATTEMPT_OUTCOME_OK" },
        ],
      },
    });
  });

  test("prints the failure, what had come, and the trail", async () => {
    const { address, first } = await startPair();
    first.behave({ schedule: [{ kind: "cut_after", events: 4 }] });
    const { code, out } = await chat(["--url", address, "--json", question]);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      completion: { candidates: [{ message: { parts: [{ text: expect.stringMatching(/^You said/) }] } }] },
      trail: { partial: true, attempts: [{ outcome: "ATTEMPT_OUTCOME_TRANSIENT_FAULT" }] },
      error: { status: "UNAVAILABLE", reason: "STREAM_INTERRUPTED", request_id: expect.stringMatching(/^req_/) },
    });
  });
});

describe("a conversation over a pipe", () => {
  test("keeps what was said, and forgets it when it is told to", async () => {
    const { address, first } = await startPair();
    const lines = "one\ntwo\n\n/reset\nthree\n";
    const { code, out, error } = await chat(["-i", "--url", address, "--system", "Be brief."], { stdin: lines });
    expect([code, out]).toEqual([0, "You said: one\nYou said: two\nYou said: three\n"]);
    expect(heard(first)).toEqual([
      ["system: Be brief.", "user: one"],
      ["system: Be brief.", "user: one", "assistant: You said: one", "user: two"],
      ["system: Be brief.", "user: three"],
    ]);
    expect(error.match(/^hop 1/gm)).toHaveLength(3);
  });

  test("goes on after a turn that failed, which it does not keep", async () => {
    const { address, first, second } = await startPair();
    const lines = "one\n/model nowhere\ntwo\n/model second:second-model\nthree\n";
    const { code, out, error } = await chat(["-i", "--url", address], { stdin: lines });
    expect([code, out]).toEqual([0, "You said: one\nYou said: three\n"]);
    expect(error).toContain('There is no model "nowhere"');
    expect(heard(first)).toEqual([["user: one"]]);
    expect(heard(second)).toEqual([["user: one", "assistant: You said: one", "user: three"]]);
  });

  test("ends with /exit, and says which commands there are", async () => {
    const { address, first } = await startPair();
    const { code, out, error } = await chat(["-i", "--url", address], { stdin: "/help\n/model\none\n/exit\ntwo\n" });
    expect([code, out, heard(first)]).toEqual([0, "You said: one\n", [["user: one"]]]);
    expect(error.match(/\/reset forgets/g)).toHaveLength(2);
  });

  test("begins with what is given as arguments", async () => {
    const { address, first } = await startPair();
    await chat(["-i", "--url", address, "zero"], { stdin: "one\n" });
    expect(heard(first).at(-1)).toEqual(["user: zero", "assistant: You said: zero", "user: one"]);
  });

  test("takes Ctrl-C for the end of the answer that is coming, and the next one for its own", async () => {
    const { address, first } = await startPair();
    first.behave({ schedule: [{ kind: "stall_after", events: 4 }] });
    const program = talk(["-i", "--url", address]);
    program.write(`${question}\n`);
    await program.said(/You said: /);
    program.child.kill("SIGINT");
    await program.said(/Stopped; what was said is not kept/);
    // It has hung up on the gateway, and the gateway on the provider.
    await first.idle();
    first.behave({ schedule: [] });
    program.write("seven\n");
    await program.said(/You said: seven[\s\S]*by first/);
    expect(heard(first).at(-1)).toEqual(["user: seven"]);
    program.child.kill("SIGINT");
    expect(await program.exited).toBe(0);
  });
});

/** `script` of util-linux runs a program at a terminal of its own. */
const hasScript = (() => {
  try {
    return execFileSync("script", ["--version"], { encoding: "utf8" }).includes("util-linux");
  } catch {
    return false;
  }
})();
if (!hasScript) console.warn("SKIPPED: everhop chat at a terminal, for there is no script(1) of util-linux");

describe.skipIf(!hasScript)("everhop chat at a terminal", () => {
  test("holds a conversation with a prompt and dimmed hops; Ctrl-C ends an answer, then the conversation", async () => {
    const { address, first } = await startPair();
    const command = `"${process.execPath}" bin/everhop.js chat --url ${address}`;
    const program = start("script", ["-qfec", command, "/dev/null"], { NO_COLOR: "", TERM: "xterm" });
    const stdin = program.child.stdin;
    await program.said(/> /);
    stdin?.write("hello\r");
    await program.said(/You said: hello[\s\S]+\u001b\[2mhop 1[\s\S]+\u001b\[32m200 ok[\s\S]+by first[\s\S]+> /);
    first.behave({ schedule: [{ kind: "stall_after", events: 4 }] });
    stdin?.write(`${question}\r`);
    await program.said(/You said: one/);
    stdin?.write("\u0003");
    await program.said(/Stopped; what was said is not kept[\s\S]+> /);
    await first.idle();
    stdin?.write("\u0003");
    expect(await program.exited).toBe(0);
  });
});
