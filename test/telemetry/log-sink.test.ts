import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { startProviders } from "../support/gateway.ts";
import { configFile, root, start } from "../support/program.ts";
import { jsonLines, pool, serveLogged } from "./log-program.ts";

const hasPython = spawnSync("python3", ["--version"]).status === 0;
if (!hasPython) console.warn("SKIPPED: a terminal that takes nothing, for there is no python3");
if (!existsSync("/dev/full")) console.warn("SKIPPED: a disk that is full, for there is no /dev/full");

/** Endpoints that are passed over: each request says so of each, and so its lines are long. */
function wordy(only: { readonly baseUrl: string }) {
  const off = Array.from({ length: 20 }, (_, index) => `${"passed-over-".repeat(5)}${index}`);
  const model = "m".repeat(200);
  const { providers } = pool({ only });
  return {
    providers: [
      ...providers,
      ...off.map((name) => ({
        name,
        base_url: only.baseUrl,
        keys: ["sk-test-canary"],
        models: [model],
        enabled: false,
      })),
    ],
    models: [
      {
        name: "think",
        strategy: "ordered",
        targets: [...off.map((provider) => ({ provider, model })), { provider: "only", model: "m" }],
      },
    ],
  };
}

/** The product with a standard output that is a pipe of which nobody reads. */
async function unread(config: object) {
  const file = configFile(JSON.stringify({ drain: { pre_stop: 0 }, ...config }));
  const child = spawn(process.execPath, ["bin/everhop.js", "serve", "--config", file], {
    cwd: root,
    env: { ...process.env, EVERHOP_CONFIG: "", NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let said = "";
  await new Promise<void>((resolve) => {
    child.stdout.setEncoding("utf8").on("data", function take(chunk: string) {
      said += chunk;
      if (!/^everhop|everhop\.yaml: /m.test(said)) return;
      child.stdout.off("data", take);
      child.stdout.pause();
      resolve();
    });
  });
  const [, address = ""] = /listens on (http:[^\s"]+)/.exec(said) ?? [];
  return { child, address, said, exited: new Promise<number | null>((resolve) => child.on("exit", resolve)) };
}

async function ask(address: string, count: number): Promise<number[]> {
  const statuses: number[] = [];
  for (let left = count; left > 0; left -= 20) {
    const some = Array.from({ length: Math.min(left, 20) }, async () => {
      const response = await fetch(`${address}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model: "think", messages: [{ role: "user", content: "Hello" }] }),
      });
      await response.text();
      statuses.push(response.status);
    });
    await Promise.all(some);
  }
  return statuses;
}

/** All that comes from now on. */
function rest(child: ChildProcess): { text(): string; ended: Promise<void> } {
  let text = "";
  const { stdout } = child;
  if (!stdout) throw new Error("it has no standard output");
  stdout.on("data", (chunk: string) => {
    text += chunk;
  });
  stdout.resume();
  return { text: () => text, ended: new Promise((resolve) => stdout.on("end", () => resolve())) };
}

const held = 8 * 2 ** 20;

describe("whoever reads the log", () => {
  test("and stops reading keeps no request waiting; what is held is bounded, and it is told how many lines are missing", async () => {
    const { only } = await startProviders({ only: {} });
    const program = await unread({ server: { port: 0 }, ...wordy(only), log: { level: "debug" } });
    const statuses = await ask(program.address, 1000);
    const output = rest(program.child);
    while (!/lines are missing/.test(output.text())) statuses.push(...(await ask(program.address, 1)));
    expect(statuses).toEqual(statuses.map(() => 200));
    const before = output.text().slice(0, output.text().indexOf("lines are missing"));
    expect(before.length).toBeGreaterThan(held / 2);
    expect(before.length).toBeLessThan(held + 2 ** 20);
    program.child.kill("SIGTERM");
    expect(await program.exited).toBe(0);
    await output.ended;
    expect(output.text()).toMatch(/Stopped\.\n$/);
    // No line is torn or counted twice, and they are in their order.
    const lines = jsonLines(program.said + output.text());
    const dropped = lines.reduce((sum, line) => sum + Number(line["dropped"] ?? 0), 0);
    const there = lines.filter((line) => line["dropped"] === undefined);
    expect(dropped).toBeGreaterThan(0);
    // It began, was led past twenty, picked, had one hop, and was served.
    expect(there.length + dropped).toBe(statuses.length * 24);
    const times = there.map(({ time }) => String(time));
    expect(times).toEqual([...times].sort());
  });

  test("cannot keep the process from ending", async () => {
    const { only } = await startProviders({ only: {} });
    const program = await unread({ server: { port: 0 }, ...wordy(only), log: { level: "debug" } });
    await ask(program.address, 50);
    program.child.kill("SIGTERM");
    expect(await program.exited).toBe(0);
  });

  test("may go: everybody is served as before", async () => {
    const { only } = await startProviders({ only: {} });
    const program = await unread({ server: { port: 0 }, ...pool({ only }), log: { level: "debug" } });
    program.child.stdout.destroy();
    expect(await ask(program.address, 50)).toEqual(Array.from({ length: 50 }, () => 200));
    program.child.kill("SIGTERM");
    expect(await program.exited).toBe(0);
  });

  test.skipIf(!existsSync("/dev/full"))("may have no room left on its disk", async () => {
    const { only } = await startProviders({ only: {} });
    const program = await serveLogged({ ...pool({ only }), log: { file: "/dev/full" } });
    for (let count = 0; count < 5; count += 1) expect((await program.chat({ model: "think" })).status).toBe(200);
    await program.logged({ ns: "everhop:request" });
    expect(await program.stop()).toBe(0);
    expect(program.lines()).toHaveLength(5);
  });

  test.skipIf(!hasPython)("may be a person who has stopped the terminal", async () => {
    const { only } = await startProviders({ only: {} });
    const port = 20_000 + (process.pid % 20_000);
    const config = { server: { port }, drain: { pre_stop: 0 }, ...wordy(only), log: { level: "debug" } };
    const program = [join(root, "bin/everhop.js"), "serve", "--config", configFile(JSON.stringify(config))];
    const { child, exited, said } = start("python3", ["-c", terminal, process.execPath, ...program]);
    await said(/started/);
    expect(await ask(`http://127.0.0.1:${port}`, 50)).toEqual(Array.from({ length: 50 }, () => 200));
    child.stdin?.write("end\n");
    await said(/ended with 0/);
    expect(await exited).toBe(0);
  });
});

/** Runs a program at a terminal, reads what it says at its start and nothing more, and sends it SIGTERM when it is told to. */
const terminal = `
import os, pty, signal, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
seen = b""
while b"only" not in seen:
    seen += os.read(terminal, 65536)
print("started", flush=True)
sys.stdin.readline()
os.kill(pid, signal.SIGTERM)
_, status = os.waitpid(pid, 0)
print("ended with", os.waitstatus_to_exitcode(status), flush=True)
`;
