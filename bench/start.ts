import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { Agent, createServer, request as openRequest, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { median } from "./statistics.ts";
import { table } from "./table.ts";

/**
 * How long a start takes: until the port is open, until the first chat has been answered, and what the requests after it cost while
 * the process is young. Configured (one provider that answers at once) and as the demo, by `npm start` and by Node alone, in folders
 * that hold nothing else. Medians; the first start of all fills the caches and is not counted.
 *
 *   node bench/start.ts [--runs N] [--only TEXT] [--cold]
 *
 * `--cold` leaves out the warm-up; `NODE_DISABLE_COMPILE_CACHE=1` and `NODE_OPTIONS` reach the program.
 */
const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "7" },
    only: { type: "string", default: "" },
    cold: { type: "boolean", default: false },
  },
});
const runs = Math.max(1, Math.round(Number(values.runs)));
const root = resolve(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "everhop-start-"));
/** How many requests after the first answer the columns of the young process go to. */
const stretches = [1, 50, 200, 1000];

interface Start {
  readonly listensMs: number;
  readonly answersMs: number;
  /** Of the process that serves, until its first answer; NaN where the system does not tell. */
  readonly cpuMs: number;
  /** CPU of each stretch, in µs per request, and its middle latency in ms. */
  readonly stretches: readonly { readonly cpuUs: number; readonly latencyMs: number }[];
}

interface Case {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** The demo answers at the pace of a model: its requests tell nothing of the process. */
  readonly isDemo: boolean;
}

async function main(): Promise<void> {
  const provider = await fixedProvider();
  const file = join(folder, "everhop.yaml"); // JSON is YAML too
  writeFileSync(file, JSON.stringify(configuration((provider.address() as AddressInfo).port))); // a TCP server's address is one
  const home = join(folder, "home");
  mkdirSync(home);
  // As the project's folder, but for what somebody may have put there.
  copyFileSync(join(root, "package.json"), join(home, "package.json"));
  for (const name of ["bin", "node_modules"]) symlinkSync(join(root, name), join(home, name));
  const everhop = join(root, "bin/everhop.js");
  const all: readonly Case[] = [
    { name: "npm start, configured", command: "npm", args: ["start", "--", "--config", file], isDemo: false },
    { name: "node, configured", command: process.execPath, args: [everhop, "serve", "--config", file], isDemo: false },
    { name: "npm start, demo", command: "npm", args: ["start", "--"], isDemo: true },
    { name: "node, demo", command: process.execPath, args: [everhop, "serve"], isDemo: true },
  ];
  const chosen = all.filter(({ name }) => name.includes(values.only));
  const starts = new Map<Case, Start[]>(chosen.map((each) => [each, []]));
  try {
    if (chosen[0]) await measured(chosen[0], home);
    // In turn, so that a busy minute of the machine is everybody's.
    for (let run = 0; run < runs; run++) for (const [each, own] of starts) own.push(await measured(each, home));
  } finally {
    provider.close();
    provider.closeAllConnections();
  }
  tell(starts);
}

async function measured({ command, args, isDemo }: Case, cwd: string): Promise<Start> {
  const begun = performance.now();
  const child = spawn(command, [...args, "--port", "0"], {
    cwd,
    env: environment(),
    stdio: ["ignore", "pipe", "inherit"],
  });
  const agent = new Agent({ keepAlive: true });
  try {
    const port = await portOf(child);
    const listensMs = performance.now() - begun;
    await ask(port, agent);
    const answersMs = performance.now() - begun;
    const pid = servingProcess(child.pid ?? 0);
    const cpuMs = cpuTimeMs(pid);
    const told: { cpuUs: number; latencyMs: number }[] = [];
    for (const [index, to] of isDemo ? [] : stretches.slice(1).entries()) {
      const from = stretches[index] ?? 0;
      const before = cpuTimeMs(pid);
      const latencies: number[] = [];
      for (let count = from; count < to; count++) {
        const sent = performance.now();
        await ask(port, agent);
        latencies.push(performance.now() - sent);
      }
      told.push({ cpuUs: ((cpuTimeMs(pid) - before) * 1000) / (to - from), latencyMs: median(latencies) });
    }
    return { listensMs, answersMs, cpuMs, stretches: told };
  } finally {
    agent.destroy();
    if (child.exitCode === null) {
      child.kill("SIGTERM");
      await once(child, "exit");
    }
  }
}

/** Nothing of the machine's own configuration may reach the program. */
function environment(): NodeJS.ProcessEnv {
  const names = ["PATH", "HOME", "NODE_OPTIONS", "NODE_DISABLE_COMPILE_CACHE", "NODE_COMPILE_CACHE"];
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => names.includes(name)));
}

function portOf(child: ChildProcess): Promise<number> {
  return new Promise((found, fail) => {
    let output = "";
    child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
      output += chunk;
      const port = /listens on http:\S+:(\d+)/.exec(output)?.[1];
      if (port) found(Number(port));
    });
    child.on("error", fail);
    child.on("exit", (code) => fail(new Error(`it ended with ${code}:\n${output}`)));
  });
}

/** Asks for a chat and reads all of the answer. @throws (rejects) when it is not one */
function ask(port: number, agent: Agent): Promise<void> {
  const body = JSON.stringify({ messages: [{ role: "user", content: "Hello!" }] });
  const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
  return new Promise((answered, fail) => {
    const call = openRequest({ port, agent, method: "POST", path: "/v1/chat/completions", headers }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("error", fail).on("end", () => {
        if (response.statusCode === 200 && text.includes('"choices"')) answered();
        else fail(new Error(`${response.statusCode} ${text}`));
      });
    });
    call.on("error", fail).end(body);
  });
}

async function fixedProvider(): Promise<Server> {
  const answer = JSON.stringify({
    ...{ id: "chatcmpl-1", object: "chat.completion", created: 1, model: "fixed" },
    choices: [{ index: 0, message: { role: "assistant", content: "Hello yourself!" }, finish_reason: "stop" }],
    usage: { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 },
  });
  const head = { "content-type": "application/json", "content-length": Buffer.byteLength(answer) };
  const server = createServer((request, response) => {
    request.resume().on("end", () => response.writeHead(200, head).end(answer));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return server;
}

function configuration(providerPort: number) {
  return {
    server: { warm_up: !values.cold },
    auth: { open: true, admin_keys: ["sk-test-canary-bench-start-of-an-admin"] },
    providers: [
      {
        name: "fixed",
        base_url: `http://127.0.0.1:${providerPort}/v1`,
        keys: ["sk-test-canary-bench-start"],
        models: ["fixed"],
      },
    ],
    drain: { pre_stop: 0, grace: "1s" },
    log: { level: "error" },
  };
}

/** npm starts a shell, which becomes the program. */
function servingProcess(pid: number): number {
  const list = `/proc/${pid}/task/${pid}/children`;
  const [child] = existsSync(list) ? readFileSync(list, "utf8").split(" ") : [];
  return child ? servingProcess(Number(child)) : pid;
}

/** User and system time of all threads; NaN where the system does not tell. */
function cpuTimeMs(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10; // in ticks of 10 ms
  } catch {
    return Number.NaN;
  }
}

function tell(starts: ReadonlyMap<Case, readonly Start[]>): void {
  const heads = ["start", "listens ms", "answers ms", "best", "CPU ms"];
  for (const [index, to] of stretches.slice(1).entries()) {
    heads.push(`µs ${(stretches[index] ?? 0) + 1}–${to}`, "p50 ms");
  }
  const rows = [...starts].map(([{ name }, own]) => {
    const middle = (figure: (start: Start) => number, digits = 0) => median(own.map(figure)).toFixed(digits);
    const young = stretches.slice(1).flatMap((_, index) => {
      const of = (figure: "cpuUs" | "latencyMs", digits: number) =>
        own[0]?.stretches[index] ? middle((start) => start.stretches[index]?.[figure] ?? Number.NaN, digits) : "";
      return [of("cpuUs", 0), of("latencyMs", 2)];
    });
    const best = Math.min(...own.map(({ answersMs }) => answersMs)).toFixed(0);
    return [
      name,
      middle((each) => each.listensMs),
      middle((each) => each.answersMs),
      best,
      middle((each) => each.cpuMs),
      ...young,
    ];
  });
  console.log(`medians of ${runs} starts; CPU is the serving process's: until its first answer, then per request\n`);
  console.log(table(heads, rows, [0]));
}

try {
  await main();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
