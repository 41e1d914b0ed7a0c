import { execFile } from "node:child_process";
import net from "node:net";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { configFile, root, serve, start } from "../support/program.ts";

const run = promisify(execFile);

describe("npm start without any configuration", () => {
  test("serves a demo whose printed commands work as they stand, shows their hops, and drains on SIGTERM", async () => {
    const started = start("npm", ["start", "--", "--port", "0"]);
    await started.said(/Ctrl-C ends it/);
    const commands = [...started.output().matchAll(/^ {2}((?:curl|npx|node) .+)$/gm)].map((match) => match[1] ?? "");
    expect(commands).toHaveLength(5);
    for (const command of commands) {
      const { stdout } = await run("bash", ["-c", command], { cwd: root });
      expect(stdout).toMatch(/said|word by word/i);
    }
    // The first request already is limited, fails, and is served all the same; nobody is told that anything failed.
    await started.said(/hop 1 .*flaky\/small#k\d +429 rate_limited/);
    await started.said(/hop 2 .*flaky\/small#k\d +500 transient_fault/);
    await started.said(/hop 3 .*sleepy\/small#k\d +200 ok/);
    expect(started.output()).not.toContain("not served");
    started.child.kill("SIGTERM");
    expect(await started.exited).toBe(0);
    expect(started.output()).toContain("Stopped.");
  });
});

/** Begins a stream of some seconds and gives the rest of it. */
async function beginStream(address: string): Promise<() => Promise<string>> {
  const response = await fetch(`${address}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ stream: true, messages: [{ role: "user", content: "one two three ".repeat(10) }] }),
  });
  const reader = (response.body as ReadableStream<Uint8Array>).getReader(); // a 200 has a body
  let text = new TextDecoder().decode((await reader.read()).value);
  return async () => {
    for (let read = await reader.read(); !read.done; read = await reader.read())
      text += new TextDecoder().decode(read.value);
    return text;
  };
}

describe("Ctrl-C in npm start", () => {
  test("lets calls in flight end, although the signal comes from the terminal and from npm", async () => {
    const started = start("npm", ["start", "--", "--port", "0"], {}, true);
    const [, address = ""] = await started.said(/listens on (http:\S+)/);
    const rest = await beginStream(address);
    process.kill(-(started.child.pid ?? 0), "SIGINT");
    expect(await rest()).toContain("data: [DONE]");
    await started.said(/Stopped\./);
    await started.exited;
  });
});

describe("everhop serve", () => {
  test("lets a stream in flight end before it goes, and takes nobody new", async () => {
    const demo = serve(["--port", "0"]);
    const [, address = ""] = await demo.said(/listens on (http:\S+)/);
    const rest = await beginStream(address);
    demo.child.kill("SIGTERM");
    await demo.said(/SIGTERM/);
    await expect(fetch(`${address}/health`)).rejects.toThrow();
    expect(await rest()).toContain("data: [DONE]");
    expect(await demo.exited).toBe(0);
  });

  test("lives on when nobody reads its lines any more", async () => {
    const demo = serve(["--port", "0"]);
    const [, address = ""] = await demo.said(/listens on (http:\S+)/);
    demo.child.stdout?.destroy();
    for (let count = 0; count < 3; count++) {
      const rest = await beginStream(address);
      expect(await rest()).toContain("data: [DONE]");
    }
  });

  test("refuses the demo beyond loopback, too, and leaves nothing running", async () => {
    const refused = serve(["--host", "0.0.0.0"]);
    expect(await refused.exited).toBe(2);
    expect(refused.output()).toContain("not loopback");
  });

  test("ends at once on a second signal", async () => {
    const config = configFile("providers: [{ name: a, base_url: 'http://127.0.0.1:9/v1' }]\ndrain: { pre_stop: 1h }\n");
    const served = serve(["--config", config, "--port", "0"]);
    await served.said(/listens on/);
    served.child.kill("SIGTERM");
    await served.said(/SIGTERM/);
    served.child.kill("SIGTERM");
    expect(await served.exited).toBe(1);
  });

  test("refuses a configuration with everything that is wrong with it, and exit code 2", async () => {
    const config = configFile("server: { prot: 1 }\nproviders: [{ name: a, base_url: nowhere }]\n");
    const served = serve(["--config", config]);
    expect(await served.exited).toBe(2);
    expect(served.output()).toMatch(/server\.prot\s+unknown key/);
    expect(served.output()).toMatch(/providers\[0\]\.base_url\s+expected an http or https URL.*, got "nowhere"/);
  });

  test("refuses to serve everybody beyond loopback unless that is meant", async () => {
    const yaml = "server: { host: 0.0.0.0, port: 0 }\nproviders: [{ name: a, base_url: 'http://127.0.0.1:9/v1' }]\n";
    const refused = serve(["--config", configFile(yaml)]);
    expect(await refused.exited).toBe(2);
    expect(refused.output()).toContain("not loopback");
    const meant = serve(["--config", configFile(`${yaml}auth: { open: true }\n`)]);
    await meant.said(/listens on/);
  });

  test("says that a port is taken, and a flag that it does not know", async () => {
    const other = net.createServer().listen(0, "127.0.0.1");
    await new Promise((listening) => other.on("listening", listening));
    const { port } = other.address() as net.AddressInfo; // a TCP server's address is one
    const taken = serve(["--port", String(port)]);
    expect(await taken.exited).toBe(2);
    expect(taken.output()).toContain("another program listens there");
    other.close();
    const unknown = serve(["--prot", "1"]);
    expect(await unknown.exited).toBe(2);
    expect(unknown.output()).toContain("--prot");
  });

  test("serves the providers of the environment", async () => {
    const served = serve(["--port", "0"], {
      OPENAI_API_KEY: "sk-test-canary-1",
      OPENAI_BASE_URL: "http://127.0.0.1:9/v1",
      OPENAI_MODEL: "gpt-x",
    });
    const [, address = ""] = await served.said(/listens on (http:\S+)/);
    const response = await fetch(`${address}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ messages: [{ role: "user", content: "Hi" }] }),
    });
    expect(response.status).toBe(502);
    expect(await response.text()).toContain("openai/gpt-x");
    expect(served.output()).not.toContain("canary");
  });
});
