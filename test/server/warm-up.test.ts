import { once } from "node:events";
import { existsSync, readdirSync, readlinkSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { everhopIn, folderWith, type Program, root, serve, start } from "../support/program.ts";

const adminKey = "sk-test-canary-admin-of-the-warm-up-test";

/** A provider that writes down what it is asked. */
async function countingProvider(): Promise<{ readonly url: string; readonly asked: string[] }> {
  const asked: string[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request.setEncoding("utf8")) body += piece;
    asked.push(`${request.method} ${request.url} ${request.headers.authorization} ${body}`);
    const choices = [{ index: 0, message: { role: "assistant", content: "Here." }, finish_reason: "stop" }];
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ id: "1", object: "chat.completion", created: 1, model: "m", choices }));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, asked }; // a TCP server's address is one
}

/** Files of a folder that configure that provider and nothing else. */
function configured(url: string, warmUp: boolean): Record<string, string> {
  const config = {
    server: { port: 0, warm_up: warmUp },
    auth: { open: true, admin_keys: [adminKey] },
    providers: [{ name: "counting", base_url: url, keys: ["sk-test-canary-counting"], models: ["m"] }],
    drain: { pre_stop: 0 },
    log: { level: "debug", format: "text" },
  };
  return { "everhop.yaml": JSON.stringify(config) }; // JSON is YAML, too
}

describe("a start", () => {
  test.each([true, false])(
    "with `warm_up: %s` serves the first request, which is all that its provider hears",
    async (warmUp) => {
      const { url, asked } = await countingProvider();
      const folder = folderWith(configured(url, warmUp));
      const served = everhopIn(folder, ["serve"]);
      const [, address = ""] = await served.said(/listens on (http:\S+)/);
      const response = await fetch(`${address}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ messages: [{ role: "user", content: "The first." }] }),
      });
      expect(response.status).toBe(200);
      expect(await response.text()).toContain("Here.");
      expect(asked).toHaveLength(1);
      expect(asked[0]).toMatch(/^POST \/v1\/chat\/completions Bearer sk-test-canary-counting .*The first\./);
      await served.said(/hop 1 .*counting\/m#k1 +200 ok/);
      served.child.kill("SIGTERM");
      expect(await served.exited).toBe(0);
      // One request is one line; of a warm-up that went well there is none.
      expect(served.output().match(/ hop \d/g)).toHaveLength(1);
      expect(served.output()).not.toContain("warm-up");
      expect(readdirSync(folder)).toEqual(["everhop.yaml"]);
    },
  );

  test.skipIf(!existsSync("/proc/self/fd"))(
    "ends with 0 when it is told to while it warms up, before its port is open",
    async () => {
      const { url } = await countingProvider();
      const folder = folderWith(configured(url, true));
      let isHit = false;
      // The warm-up is short, and this machine may be busy.
      for (let tries = 0; tries < 20 && !isHit; tries++) {
        const served = everhopIn(folder, ["serve"]);
        await hasSockets(served);
        served.child.kill("SIGTERM");
        expect(await served.exited).toBe(0);
        expect(served.output()).toMatch(/SIGTERM: leaving[\s\S]*Stopped\./);
        isHit = !served.output().includes("listens on");
      }
      expect(isHit).toBe(true);
    },
  );

  test("says that a port is taken after the warm-up as before", async () => {
    const { url } = await countingProvider();
    const taken = serve([
      "--config",
      join(folderWith(configured(url, true)), "everhop.yaml"),
      "--port",
      new URL(url).port,
    ]);
    expect(await taken.exited).toBe(2);
    expect(taken.output()).toContain("another program listens there");
  });
});

/** Resolves when the program has opened a socket, which before its port is open is the warm-up's alone. */
async function hasSockets({ child, exited }: Program): Promise<void> {
  const folder = `/proc/${child.pid}/fd`;
  const isSocket = (name: string) => {
    try {
      return Number(name) > 2 && readlinkSync(join(folder, name)).startsWith("socket:");
    } catch {
      // Closed meanwhile.
      return false;
    }
  };
  let isOver = false;
  void exited.then(() => {
    isOver = true;
  });
  while (!isOver && !readdirSync(folder).some(isSocket)) await new Promise((resolve) => setTimeout(resolve, 2));
}

/**
 * A warm-up in a program of its own, which ends only if nothing of it is left.
 * @param options as JavaScript
 */
async function warmedUp(options: string): Promise<{ answered: number; failure?: string }> {
  const from = (path: string) => JSON.stringify(pathToFileURL(join(root, "src", path)).href);
  const script = `
    import { warmUp } from ${from("server/warm-up.ts")};
    import { systemClock } from ${from("runtime/clock.ts")};
    import { systemRng } from ${from("runtime/rng.ts")};
    import { createCancellation } from ${from("runtime/cancellation.ts")};
    const cancellation = createCancellation();
    console.log(JSON.stringify(await warmUp({ clock: systemClock, rng: systemRng }, { cancellation, ...${options} })));
  `;
  const program = start(process.execPath, ["--input-type=module", "--eval", script]);
  expect([await program.exited, program.output()]).toEqual([0, expect.any(String)]);
  return JSON.parse(program.output());
}

describe("a warm-up", () => {
  test("asks by REST and gRPC, whole and streamed, and leaves nothing behind", async () => {
    expect(await warmedUp("{ limits: { ms: 60_000, questions: 5 } }")).toEqual({ answered: 4 * 5 });
  });

  test("ends in the middle of its questions when its time is over", async () => {
    const { failure } = await warmedUp("{ limits: { ms: 400, questions: 1e9 } }");
    // A machine that is that slow is no fault of anybody's.
    expect([undefined, "nothing was answered within 400 ms"]).toContain(failure);
  });

  test("ends when its time is over although nobody answers, and says so", async () => {
    const { answered, failure } = await warmedUp("{ limits: { ms: 200, questions: 5 }, provider: () => {} }");
    expect(answered).toBe(0);
    expect(failure).toBe("nothing was answered within 200 ms");
  });

  test("ends at once when it is called off", async () => {
    const calledOff = "{ limits: { ms: 2_000_000, questions: 5 }, provider: () => cancellation.cancel('enough') }";
    expect(await warmedUp(calledOff)).toEqual({ answered: 0 });
  });

  test("says why it has failed, and does not throw", async () => {
    const nowhere = await warmedUp('{ host: "192.0.2.1" }'); // an address for documentation, no machine's own
    expect(nowhere).toEqual({ answered: 0, failure: expect.stringContaining("EADDRNOTAVAIL") });
    const broken = await warmedUp("{ provider: (_request, response) => response.writeHead(500).end() }");
    expect(broken.failure).toMatch(/was answered by/);
  });
});
